"""The endpoints of keys, under ``/api/v1/``."""

from django.urls import path

from keys.rest import views

urlpatterns = [
    path("register", views.RegistrationView.as_view()),
    path("users/<str:user_id>/bundle", views.BundleView.as_view()),
    path("prekey", views.PrekeyView.as_view()),
]

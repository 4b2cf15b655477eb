"""The endpoints of accounts, under ``/api/v1/``."""

from django.urls import include, path

from accounts.rest import schema as schema  # registers how the schema tells of tokens
from accounts.rest import views

urlpatterns = [
    path("", include("accounts.moderation.rest.urls")),
    path("login", views.LoginView.as_view()),
    path("logout", views.LogoutView.as_view()),
    path("sessions", views.SessionsView.as_view()),
    path("sessions/<uuid:session_id>", views.SessionView.as_view()),
    path("password", views.PasswordView.as_view()),
    path("password/reset", views.ResetView.as_view()),
    path("account/deletion", views.DeletionView.as_view()),
    path("profile", views.ProfileView.as_view()),
    path("users", views.UsersView.as_view()),
]

"""The endpoints of moderation, under ``/api/v1/``."""

from django.urls import path

from accounts.moderation.rest import views

urlpatterns = [path("reports", views.ReportsView.as_view())]

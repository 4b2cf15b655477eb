"""All endpoints under ``/api/v1/``."""

from django.urls import include, path

from messaging.rest import views
from messaging.rest.export import ExportView

urlpatterns = [
    path("", include("accounts.rest.urls")),
    path("", include("keys.rest.urls")),
    path("account/export", ExportView.as_view()),
    path("server", views.ServerView.as_view()),
    path("mailbox", views.MailboxView.as_view()),
]

"""All endpoints under ``/api/v1/``."""

from django.urls import include, path

from messaging.rest import views

urlpatterns = [
    path("", include("accounts.rest.urls")),
    path("", include("keys.rest.urls")),
    path("server", views.ServerView.as_view()),
    path("mailbox", views.MailboxView.as_view()),
    path("bundle", views.OwnBundleView.as_view()),
]

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
    path("contacts", views.ContactsView.as_view()),
    path("contacts/<str:user_id>", views.ContactView.as_view()),
    path("blocks", views.BlocksView.as_view()),
    path("blocks/<str:user_id>", views.BlockView.as_view()),
    path("requests", views.MessageRequestsView.as_view()),
    path("requests/<str:user_id>", views.MessageRequestView.as_view()),
    path("bundle", views.OwnBundleView.as_view()),
]

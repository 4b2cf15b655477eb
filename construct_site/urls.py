"""HTTP routes."""

from django.contrib import admin
from django.urls import path

from construct_site import views

admin.site.site_header = admin.site.site_title = "Construct"
admin.site.index_title = "Administration"

handler404 = views.not_found
urlpatterns = [
    path("", views.index, name="index"),
    path("admin/", admin.site.urls),
]

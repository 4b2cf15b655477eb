from django.apps import AppConfig


class MetricsConfig(AppConfig):
    name = "construct_site.metrics"

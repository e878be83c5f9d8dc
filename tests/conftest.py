"""Settings for every test: no deadline a property, since two cores are shared with real servers."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

pytest_plugins = (  # fixtures: settings, owner, nc, log; cluster
    "tests.support.nats",
    "tests.support.cluster",
)

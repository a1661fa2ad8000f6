"""Every room: properties have no deadline of their own, on whatever machine they are run."""

from hypothesis import settings

settings.register_profile(
    "coffret", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("coffret")

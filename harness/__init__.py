"""Albatross on the local AWS: deployed, run, shown and tried; nothing here is asserted by itself."""

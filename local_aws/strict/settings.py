"""What a test may set of the local AWS beside its clock."""

from dataclasses import dataclass


@dataclass
class Settings:
    """As AWS has it, until a test says otherwise."""

    # No page of a list holds more, whatever is asked for.
    page_size: int | None = None
    # Decides what AWS answers where nobody knows: unconfirmed.py.
    seed: int = 0
    # Whether IAM learns late of the tags of what is made: propagation.py. None: the seed decides.
    tags_lag: bool | None = None

    def change(self, **settings: int | None) -> None:
        """Set these, and leave the others."""
        if unknown := settings.keys() - vars(self).keys():
            raise LookupError(f"no setting {', '.join(unknown)}")
        vars(self).update(settings)

    def reset(self) -> None:
        self.__init__()


settings = Settings()

"""A user's world as the input of an environment names it."""

from local_aws import world


class World(world.World):
    """A user's own things, with the input that puts HTTPS in front of them and the name that the environment gets."""

    @property
    def name(self) -> str:
        """The name that an environment for the domain has by default."""
        return self.domain.replace(".", "-")

    @property
    def input(self) -> dict:
        """The shortest input of a provision."""
        return {"domain": self.domain, "instances": self.instances}

"""The local AWS: MiniStack runs what is ours, moto with a strict layer is the AWS it works on."""

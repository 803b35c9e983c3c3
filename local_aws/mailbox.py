"""What SNS sends to the subscribers of a topic, read by one of them: a queue. E-mail itself goes nowhere here."""

import json
import uuid
from dataclasses import dataclass

from .local import LocalAws

# SNS developer guide, "Email notifications": what a mail without a subject is called.
NO_SUBJECT = "AWS Notification Message"


@dataclass(frozen=True)
class Mail:
    """What the mail says to one who subscribed by e-mail."""

    subject: str
    message: str


class Mailbox:
    """A subscriber of the topic from now on."""

    def __init__(self, aws: LocalAws, topic: str):
        self._sqs = aws.client("sqs")
        self._url = self._sqs.create_queue(QueueName=f"mailbox-{uuid.uuid4().hex}")["QueueUrl"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=found["Attributes"]["QueueArn"])

    def read(self) -> list[Mail]:
        """The mails since the last reading."""
        mails = []
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                told = json.loads(message["Body"])
                mails.append(Mail(told.get("Subject") or NO_SUBJECT, told["Message"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return mails

"""What a person answers `carillon setup`."""

TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC01",
    "TWILIO_AUTH_TOKEN": "twilio-s3cret",
    "TWILIO_MESSAGING_SERVICE_SID": "MG01",
}
ADDRESS = {"AWS_REGION": "eu-west-1", "SENDER_EMAIL": "ada@example.com"}

"""The provider sandbox: SES, Twilio and FCM spoken offline, for development and tests."""

"""The providers of text messages."""

from carillon.delivery import consumer
from carillon.models import Channel
from functions.channels.sms import aws, twilio

lambda_handler = consumer(Channel.SMS, {"twilio": twilio.send, "aws": aws.send})

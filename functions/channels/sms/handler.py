"""The providers of text messages."""

from carillon.delivery import consumer
from carillon.models import Channel
from functions.channels.sms import twilio

lambda_handler = consumer(Channel.SMS, {"twilio": twilio.send})

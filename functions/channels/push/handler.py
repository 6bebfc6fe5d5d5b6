"""The providers of push notifications."""

from carillon.delivery import consumer
from carillon.models import Channel
from functions.channels.push import fcm

lambda_handler = consumer(Channel.PUSH, {"fcm": fcm.send})

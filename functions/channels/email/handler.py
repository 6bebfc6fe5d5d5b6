"""The providers of emails."""

from carillon.delivery import consumer
from carillon.models import Channel
from functions.channels.email import sendgrid, ses, smtp

lambda_handler = consumer(
    Channel.EMAIL, {"ses": ses.send, "smtp": smtp.send, "sendgrid": sendgrid.send}
)

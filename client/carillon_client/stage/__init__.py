"""A deployment in an AWS account of yours: its secrets, its sender, where it answers.

Needs ``pip install 'carillon-client[stage]'``: boto3 and what checks the providers' accounts.
"""

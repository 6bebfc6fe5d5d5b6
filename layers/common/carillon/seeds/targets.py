"""The routes of ours that aliases stand for."""

from carillon.relay import Target

SEND = Target("notifications_function", "POST", "/api/v1/notifications")
READ = Target("notifications_function", "GET", "/api/v1/notifications/{notification_id}")
REPORT = Target("notifications_function", "PATCH", "/api/v1/notifications/{notification_id}/status")
CREATE_TEMPLATE = Target("templates_function", "POST", "/api/v1/templates")
READ_TEMPLATE = Target("templates_function", "GET", "/api/v1/templates/{code}")
RENDER = Target("templates_function", "POST", "/api/v1/templates/{code}/render")
READ_USER = Target("users_function", "GET", "/api/v1/users/{user_id}")
PUT_USER = Target("users_function", "PUT", "/api/v1/users/{user_id}")
READ_PREFERENCES = Target("users_function", "GET", "/api/v1/users/{user_id}/preferences")
PATCH_PREFERENCES = Target("users_function", "PATCH", "/api/v1/users/{user_id}/preferences")
ADD_DEVICE = Target("users_function", "POST", "/api/v1/users/{user_id}/push-tokens")
READ_INBOX = Target("inbox_function", "GET", "/api/v1/users/{user_id}/notifications")
REGISTER_USER = Target("auth_function", "POST", "/api/v1/auth/register")
LOGIN = Target("auth_function", "POST", "/api/v1/auth/login")
REFRESH = Target("auth_function", "POST", "/api/v1/auth/refresh")
REGISTER_CLIENT = Target("clients_function", "POST", "/api/v1/clients")

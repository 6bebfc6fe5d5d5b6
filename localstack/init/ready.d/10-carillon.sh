#!/usr/bin/env bash
# Deploys the built template to LocalStack once that is ready; LocalStack runs whatever lies here.
set -euo pipefail

built=${CARILLON_BUILT:-/carillon/.aws-sam/${ARCH:-x86_64}/template.yaml}
sandbox=${SANDBOX_URL:-http://sandbox:8025}
stack=carillon-local
bucket=carillon-artefacts
packaged=$(mktemp)
# For the uploads of `package` too, which awslocal alone does not turn here.
export AWS_ENDPOINT_URL=${AWS_ENDPOINT_URL:-http://localhost:4566}
trap 'rm -f "$packaged"' EXIT

if [ ! -f "$built" ]; then
	echo "nothing is built: make build ARCH=${ARCH:-x86_64}" >&2
	exit 1
fi
awslocal s3api head-bucket --bucket $bucket 2>/dev/null || awslocal s3 mb s3://$bucket
awslocal cloudformation package --template-file "$built" --s3-bucket $bucket \
	--output-template-file "$packaged" >/dev/null
# What LocalStack's free edition has not is left out, as on the embedded cloud.
awslocal cloudformation deploy --template-file "$packaged" --stack-name $stack --s3-bucket $bucket \
	--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset \
	--parameter-overrides Stage=local "Architecture=${ARCH:-x86_64}" "Release=localstack-$(date +%s)" \
	SenderEmail=carillon@example.com OpenRegistration=true RateLimitPerMinute=100000 \
	ThrottlingRateLimit=5000 ThrottlingBurstLimit=5000 \
	ComputedAlarms=false SavedQueries=false Tracing=PassThrough BulkConcurrency=0 \
	PublicUrl=http://localhost:8000 EmailProvider=ses,smtp SmsProvider=twilio,aws \
	SmsOriginationIdentity=arn:aws:sms-voice:us-east-1:000000000000:phone-number/phone-carillon \
	"SesEndpointUrl=$sandbox" "SendgridBaseUrl=$sandbox" "SmsEndpointUrl=$sandbox" \
	"TwilioBaseUrl=$sandbox" "FcmBaseUrl=$sandbox"
awslocal cloudformation describe-stacks --stack-name $stack --query 'Stacks[0].StackStatus'

"""The mutants: what is wrong, where, and which tests or simulated seeds are to notice."""

from dataclasses import dataclass

CLAIMS = "layers/common/carillon/claims.py"
DELIVERY = "layers/common/carillon/delivery.py"
INTAKE = "layers/common/carillon/intake.py"
BREAKER = "layers/common/carillon/breaker.py"
LEGS = "layers/common/carillon/legs.py"
LEDGER = "layers/common/carillon/ledger.py"
AWS = "layers/common/carillon/aws.py"
SIGNED = "layers/common/carillon/signed.py"
DELIVERIES = "tests/functional/test_delivery.py"
ACCEPTANCE = "tests/functional/test_intake.py"
BREAKERS = "tests/functional/test_breaker.py"
TURNS = "tests/functional/test_fallback.py"
SWEEPS = "tests/functional/test_sweep.py"
WIRES = "tests/functional/channels/test_providers.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing wrong: in ``file``, ``new`` stands where ``old`` did, once.

    It is noticed by ``tests``, a file of tests and which of them, and by any of the first ``seeds``
    of the simulation: by each of the two that is named.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, str] | None = None
    seeds: int = 0


MUTANTS = (
    # ------------------------------------------------------------------ claims
    Mutant(
        "a lease is shorter than its holder may live",
        CLAIMS,
        "LEASE_MARGIN = 5\n",
        "LEASE_MARGIN = -45\n",
        (DELIVERIES, "lease_outlives"),
        seeds=4,
    ),
    Mutant(
        "an outcome is recorded by who no longer owns the claim",
        CLAIMS,
        "(Delivery.owner == self.owner) & (Delivery.state == State.SENDING)",
        "Delivery.state == State.SENDING",
        (DELIVERIES, "claim_of_another"),
    ),
    Mutant(
        "a claim is taken over before its lease has lapsed",
        CLAIMS,
        "    if lapsed_at > time.time():\n",
        "    if lapsed_at < 0:\n",
        (DELIVERIES, "left_alone"),
        seeds=8,
    ),
    Mutant(
        "a claim is taken over whatever happened since it was read",
        CLAIMS,
        "(Delivery.lease_until == lapsed_at) & (Delivery.state == State.SENDING)",
        "Delivery.state.exists()",
        (DELIVERIES, "sent_meanwhile or quicker"),
    ),
    Mutant(
        "an attempt is not counted",
        CLAIMS,
        "Delivery.attempts.set((Delivery.attempts | 0) + 1)",
        "Delivery.attempts.set((Delivery.attempts | 0) + 0)",
        (DELIVERIES, "retries_are_spent"),
    ),
    Mutant(
        "attempts never end",
        CLAIMS,
        "return not free and self.delivery.attempts > settings().max_retries",
        "return False",
        (DELIVERIES, "retries_are_spent"),
        seeds=8,
    ),
    Mutant(
        "throttling spends an attempt",
        CLAIMS,
        "free = free or error.failure in (Failure.THROTTLE, Failure.CONFIG)",
        "free = free or error.failure is Failure.CONFIG",
        (DELIVERIES, "spends_no_attempt"),
    ),
    Mutant(
        "an outcome that is not known is forgotten",
        CLAIMS,
        "            told.append(Delivery.maybe_sent.set(True))\n",
        "",
        (DELIVERIES, "maybe_sent"),
        seeds=8,
    ),
    Mutant(
        "a take-over does not tell that it may repeat",
        CLAIMS,
        "[*taken, Delivery.maybe_sent.set(True)]",
        "taken",
        (DELIVERIES, "taken_over_and_flagged"),
    ),
    Mutant(
        "what may have gone is called failed",
        CLAIMS,
        "return State.UNKNOWN if self.delivery.maybe_sent else state",
        "return state",
        (DELIVERIES, "maybe_sent"),
    ),
    Mutant(
        "at most once is repeated after a doubtful answer",
        CLAIMS,
        "        if failure is Failure.UNKNOWN and self.at_most_once:\n            return True\n",
        "",
        (DELIVERIES, "doubtful_answer"),
        seeds=8,
    ),
    Mutant(
        "at most once is repeated after a worker's death",
        CLAIMS,
        "spent = message.at_most_once or delivery.attempts",
        "spent = delivery.attempts",
        (DELIVERIES, "worker_s_death"),
    ),
    Mutant(
        "a late success is not recorded",
        CLAIMS,
        "            self._write(State.SENT, actions, _not_beyond_sent(), self._line())\n",
        "            pass\n",
        (DELIVERIES, "late_success"),
    ),
    Mutant(
        "a late success undoes what came after",
        CLAIMS,
        "news: Condition = ~ended & ~bounced",
        "news: Condition = Delivery.state.exists()",
        (DELIVERIES, "no_late_success"),
    ),
    Mutant(
        "a delivery does not wait for its next attempt",
        CLAIMS,
        "| (Delivery.not_before <= round(time.time(), 3))",
        "| (Delivery.not_before >= 0)",
        seeds=8,
    ),
    Mutant(
        "a copy that finds the attempt just failed is acknowledged",
        CLAIMS,
        "    if delivery.state in _ENDED:\n",
        "    if delivery.state in _ENDED | {State.RETRYING}:\n",
        (DELIVERIES, "just_failed"),
    ),
    Mutant(
        "a provider's Retry-After is not heard",
        CLAIMS,
        "floor = error.retry_after or 0.0",
        "floor = 0.0",
        seeds=8,
    ),
    # ------------------------------------------------------------------ delivery
    Mutant(
        "a call is begun without the time to end it",
        DELIVERY,
        "return self.remaining() >= SEND_BUDGET",
        "return True",
        (DELIVERIES, "a_q05 or time_lost"),
        seeds=8,
    ),
    Mutant(
        "a 2xx without an id is taken for sent",
        DELIVERY,
        "    if not sent.provider_message_id:\n",
        "    if not sent.provider:\n",
        (DELIVERIES, "no_proof"),
        seeds=8,
    ),
    Mutant(
        "an exception nobody foresaw is taken for a failure before the request",
        DELIVERY,
        'raise ProviderError(Failure.UNKNOWN, type(error).__name__, "unclassified") from error',
        'raise ProviderError(Failure.RETRY, type(error).__name__, "unclassified") from error',
        (DELIVERIES, "nobody_foresaw"),
    ),
    Mutant(
        "what has expired is sent",
        DELIVERY,
        "if message.expires_at and message.expires_at <= timestamp(now()):",
        "if message.expires_at and message.expires_at <= message.accepted_at:",
        seeds=8,
    ),
    Mutant(
        "what its reader no longer wants is sent",
        DELIVERY,
        "    if unwelcome:\n",
        '    if unwelcome == "user-gone":\n',
        ("tests/functional/test_unwanted.py", "opt_out_meanwhile"),
    ),
    Mutant(
        "a message that made a worker stumble is acknowledged",
        DELIVERY,
        """"delivery crashed", extra={"sqs_message_id": record["messageId"], **trace(error)}
        )
        return False
""",
        """"delivery crashed", extra={"sqs_message_id": record["messageId"], **trace(error)}
        )
        return True
""",
        (DELIVERIES, "loses_nothing"),
    ),
    Mutant(
        "a message is acknowledged before the next channel's turn is published",
        DELIVERY,
        "        legs.pass_on(message, worker.channel)\n",
        """        try:
            legs.pass_on(message, worker.channel)
        except Exception:  # noqa: BLE001, S110
            pass
""",
        (TURNS, "cannot_be_begun"),
    ),
    Mutant(
        "poison is acknowledged before it is parked",
        DELIVERY,
        "        _park(record, str(poison))\n",
        """        try:
            _park(record, str(poison))
        except Exception:  # noqa: BLE001, S110
            pass
""",
        (DELIVERIES, "cannot_be_parked"),
    ),
    Mutant(
        "a kill switch is not obeyed",
        DELIVERY,
        "if scope := controls.paused_by(message, worker.channel):",
        'if (scope := controls.paused_by(message, worker.channel)) == "-":',
        (BREAKERS, "switched_off"),
    ),
    # ------------------------------------------------------------------ acceptance
    Mutant(
        "202 is answered before SNS has the message",
        INTAKE,
        "        raise not_queued(record) from error\n",
        "        return\n",
        (ACCEPTANCE, "sns_does_not_take"),
    ),
    Mutant(
        "a key with another body gets the first answer",
        INTAKE,
        "    if not hmac.compare_digest(bytes(stored.digest), digest):\n",
        "    if not digest:\n",
        (ACCEPTANCE, "a_d02"),
        seeds=4,
    ),
    Mutant(
        "a key makes two notifications",
        "layers/common/carillon/storage.py",
        "        item.save(condition=free)\n",
        "        item.save()\n",
        (ACCEPTANCE, "first_answer"),
    ),
    Mutant(
        "a repeat does not publish what nobody has claimed",
        INTAKE,
        "    _publish(record, message, legs.due(message, states))\n",
        "",
        (ACCEPTANCE, "publishes_again"),
    ),
    # ------------------------------------------------------------------ one request per attempt
    Mutant(
        "a request to SES is sent again",
        SIGNED,
        "_email, _sent, 3, timeout, 1)",
        "_email, _sent, 3, timeout, 3)",
        (WIRES, "one_request and ses"),
        seeds=6,
    ),
    Mutant(
        "the AWS SDK sends again (End User Messaging)",
        AWS,
        "_config(3, PROVIDER_TIMEOUT, 1)",
        "_config(3, PROVIDER_TIMEOUT, 3)",
        (WIRES, "one_request and aws"),
    ),
    Mutant(
        "the Twilio SDK sends again",
        "functions/channels/sms/twilio.py",
        "max_retries=0,",
        "max_retries=requests.adapters.Retry(2, allowed_methods=None, status_forcelist={503}),",
        (WIRES, "one_request and twilio"),
    ),
    Mutant(
        "the Firebase SDK sends again",
        "functions/channels/push/fcm.py",
        "        _send_once(app)\n",
        "        pass\n",
        (WIRES, "one_request and fcm"),
    ),
    Mutant(
        "SendGrid's requests are sent again",
        "functions/channels/email/sendgrid.py",
        "urllib3.PoolManager(retries=False, timeout=timeout)",
        "urllib3.PoolManager(retries=urllib3.Retry(2, allowed_methods=None), timeout=timeout)",
        (WIRES, "one_request and sendgrid"),
    ),
    Mutant(
        "a mail server that broke off after the final dot is taken for one before it",
        "functions/channels/email/smtp.py",
        "    progress.handed_over = True\n",
        "",
        ("tests/functional/channels/test_smtp.py", "after_the_final_dot"),
    ),
    Mutant(
        "a 5xx is taken for not sent",
        "layers/common/carillon/errors.py",
        "return Failure.PERMANENT if 400 <= status < 500 else Failure.UNKNOWN",
        "return Failure.PERMANENT if 400 <= status < 500 else Failure.RETRY",
        ("tests/functional/channels/test_failures.py", "what_no_table_lists"),
    ),
    # ------------------------------------------------------------------ what survives an outage
    Mutant(
        "a breaker never opens",
        BREAKER,
        "if error.failure is Failure.CONFIG or streak.count >= TRIPS_AFTER or lasting:",
        "if streak.count < 0:",
        (BREAKERS, "left_alone or a_p11"),
    ),
    Mutant(
        "an open breaker lets everybody probe",
        BREAKER,
        "return self.due is None or _take_probe(self.due, self.since)",
        "return True",
        (BREAKERS, "one_worker_probes"),
    ),
    Mutant(
        "a probe spends an attempt",
        DELIVERY,
        "free=way.probing and error.failure is Failure.RETRY",
        "free=False",
        (BREAKERS, "spends_no_attempt"),
    ),
    Mutant(
        "the next channel takes its turn though the one before may have arrived",
        LEGS,
        "MISSED = frozenset({State.FAILED, State.SUPPRESSED})",
        "MISSED = frozenset({State.FAILED, State.SUPPRESSED, State.UNKNOWN})",
        (TURNS, "may_have_arrived"),
        seeds=6,
    ),
    Mutant(
        "a turn never ends",
        LEGS,
        "    if following(message, channel) is None:\n        return None\n",
        "    return None\n",
        (TURNS, "lasts_too_long"),
    ),
    Mutant(
        "a turn that is over ends what a worker holds",
        CLAIMS,
        "        else Delivery.state == State.RETRYING\n    )\n",
        "        else Delivery.state.exists()\n    )\n",
        (TURNS, "while_a_worker_holds"),
        seeds=60,
    ),
    Mutant(
        "the sweep does not find what was never published",
        "layers/common/carillon/sweep.py",
        "    return legs.due(message, states) | stuck\n",
        "    return stuck\n",
        (SWEEPS, "a_d04"),
        seeds=8,
    ),
    Mutant(
        "a dead letter that is sent again forgets its earlier attempts",
        LEDGER,
        "(Delivery.earlier_attempts | 0) + (Delivery.attempts | 0)",
        "Delivery.earlier_attempts | 0",
        ("tests/functional/letters/test_redrives.py", "may_have_gone"),
    ),
)

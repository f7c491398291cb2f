"""Bugs in what decides and what starts: the simulation plays the real thing, and must notice."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

WORLDS = ("tests/simulation/test_worlds.py",)

JUMPS = ("tests/runtime/test_clock_jumps.py",)
STALLED = ("tests/runtime/test_stalls.py::test_after_a_stall_holders_get_time_to_renew",)

EXECUTORS = ("tests/runtime/test_executors.py",)

DECISION = ("tests/unit/test_claim_decide.py",)

OPTIONS = ("tests/unit/test_options.py",)

REPLACE = ("tests/contract/test_replace.py", "-k", "memory or sqlite")

WHY = ("tests/cli/test_why.py",)

SHARES = ("tests/unit/test_slot_shares.py",)

DAEMON_SLOTS = ("tests/runtime/test_daemon_slots.py",)

CAUSES = ("tests/daemon/test_causes.py", "-k", "order")

KEY_LIMITS = ("tests/contract/test_key_limits.py", "-k", "lost_its_limits and memory")

RECALLS = ("tests/contract/test_recalling.py", "-k", "memory")

HISTORY = ("tests/unit/test_history.py", "tests/runtime/test_minutes.py")
METRICS = ("tests/unit/test_metrics.py",)

WEB = ("tests/unit/test_web_server.py",)

EVENTS = ("tests/contract/test_events.py", "-k", "memory")
TOLD = ("tests/runtime/test_events.py",)
STREAMED = ("tests/runtime/test_event_streams.py",)
OPERATED = ("tests/simulation/test_worlds.py", "-k", "operated")
OPERATIONS = ("tests/cli/test_operations.py", *OPERATED)

SEARCHING = ("tests/contract/test_searching.py", "-k", "memory or each_part")
DASHBOARD = ("tests/daemon/test_dashboard.py",)
CONCEALED = ("tests/daemon/test_concealed_configuration.py",)

CONFIGURED = ("tests/unit/test_config_load.py", "-k", "limits_of_keys or single_key")

RULES = [
    Mutation(
        "asyncmqd/domain/shared_limits.py", "if of_queue.concurrency and (", "if (", CONFIGURED
    ),
    Mutation(
        "asyncmqd/domain/shared_limits.py",
        " < math.inf and own.burst",
        " and own.burst",
        CONFIGURED,
    ),
    Mutation("asyncmqd/domain/shared_limits.py", "own.burst >= others.burst", "True", CONFIGURED),
    Mutation(
        "asyncmqd/domain/queue_options.py",
        "own.key_burst or self.key_burst",
        "own.key_burst",
        CONFIGURED,
    ),
    Mutation(
        "asyncmqd/admin/schedules.py",
        "name, action, passed, now)",
        "name, action, passed)",
        ("tests/cli/test_schedules.py", "-k", "no_instant_of_a_pause"),
    ),
    Mutation(
        "asyncmqd/runtime/process/recovery.py",
        "            await asyncio.wait([recovering])\n",
        "",
        ("tests/runtime/test_found_by_simulation.py",),
    ),
    Mutation(
        "asyncmqd/domain/marks.py",
        'key=lambda id: (-alike[id.partition(" ")[0]], times[id], id)',
        "key=lambda id: (times[id], id)",
        ("tests/contract/test_insight.py", "-k", "memory"),
    ),
    Mutation(
        "asyncmqd/domain/attempts.py",
        "enumerate(lines[:-1])",
        "enumerate(lines)",
        ("tests/contract/test_insight.py", "-k", "memory"),
    ),
    Mutation(
        "asyncmqd/runtime/execution/retry_rules.py",
        "told_of(run.claim, change.edge, failure, change.delay)",
        "change.attempt",
        ("tests/daemon/test_job_logs.py", "-k", "logged_or_printed"),
    ),
    Mutation(
        "asyncmqd/admin/marks.py",
        "{last[daemon]} if daemon in last else {*last.values()}",
        "{*[*last.values()][-1:]}",
        ("tests/unit/test_dashboard_time.py",),
    ),
    Mutation(
        "asyncmqd/domain/selection.py",
        "return self.alike is None or self.alike == masked(error_of(record))",
        "return True",
        SEARCHING,
    ),
    Mutation(
        "asyncmqd/domain/selection.py",
        'return b"" if NUMBER in type else _written(type)',
        "return _written(self.alike or type)",
        SEARCHING,
    ),
    Mutation(
        "asyncmqd/web/sessions.py",
        "parts.netloc.lower() in asked",
        "bool(asked)",
        (*DASHBOARD, "-k", "form_of_another"),
    ),
    Mutation(
        "asyncmqd/web/sessions.py",
        "if name == _encoded(token.name) and hmac.compare_digest(signed, signature):",
        "if name == _encoded(token.name):",
        (*DASHBOARD, "-k", "session_ends"),
    ),
    Mutation(
        "asyncmqd/web/dashboard/rendering.py",
        "autoescape=True",
        "autoescape=False",
        (*DASHBOARD, "-k", "no_markup"),
    ),
    Mutation(
        "asyncmqd/admin/concealed.py",
        'progress=b"",\n        key="",',
        'progress=b"",',
        (*DASHBOARD, "-k", "hidden"),
    ),
    Mutation(
        "asyncmqd/daemon/http.py",
        "refusal.concealed if hides else str(refusal)",
        "str(refusal)",
        CONCEALED,
    ),
    Mutation(
        "asyncmqd/daemon/status.py",
        "refusal.told(conceals=conceals)",
        "refusal.told()",
        CONCEALED,
    ),
    Mutation(
        "asyncmqd/config/diff.py",
        "keys=tuple(map(_concealed, e.keys))",
        "keys=e.keys",
        CONCEALED,
    ),
    Mutation(
        "asyncmqd/web/dashboard/visit.py",
        "rows[begin : begin + most]",
        "rows[begin:]",
        ("tests/unit/test_site.py", "-k", "grows"),
    ),
    Mutation("asyncmqd/domain/events.py", "gone = max(0, first - begin)", "gone = 0", EVENTS),
    Mutation("asyncmqd/domain/events.py", "gone if is_known else None", "gone", EVENTS),
    Mutation("asyncmqd/domain/events.py", "if first + at > begin", "if True", EVENTS),
    Mutation(
        "asyncmqd/domain/events.py",
        "return min(after.number, end.number)",
        "return after.number",
        EVENTS,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "            await asyncio.sleep(GATHER)\n",
        "",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "                answered(False)\n",
        "                pass\n",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "elif heard == self._heard:",
        "else:",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "self._dropped += number  #",
        "self._dropped += 0  #",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "sum(each.missed or 1 for each in events)",
        "len(events)",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "        self._passed += len(runs) - len(told)\n",
        "",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "            self._passed += 1\n",
        "            pass\n",
        TOLD,
    ),
    Mutation(
        "asyncmqd/runtime/process/event_publisher.py",
        "self._room, self._passed = AT_ONCE, 0",
        "self._passed = 0",
        TOLD,
    ),
    Mutation(
        "asyncmqd/web/event_streams.py",
        "        yield _missed(passed)\n\n",
        "\n",
        STREAMED,
    ),
    Mutation(
        "asyncmqd/web/event_streams.py",
        "            yield _missed(passed)\n            passed.clear()\n",
        "",
        STREAMED,
    ),
    Mutation(
        "asyncmqd/web/event_streams.py",
        "_SENT // max(1, self._streams)",
        "_SENT",
        STREAMED,
    ),
    Mutation(
        "asyncmqd/web/event_streams.py",
        "self._read(own, math.inf)",
        "self._read(own, 4)",
        STREAMED,
    ),
    Mutation(
        "asyncmqd/client/events.py",
        "if page.missed == 0:",
        "if not page.missed:",
        TOLD,
    ),
    Mutation(
        "asyncmqd/admin/causes.py",
        "return sorted([*itself, *others], key=_rank)",
        "return [*itself, *others]",
        CAUSES,
    ),
    Mutation(
        "asyncmqd/admin/causes.py",
        "if record.paused or not record.seen:",
        "if not record.seen:",
        ("tests/cli/test_why.py", "-k", "nobody_fires"),
    ),
    Mutation(
        "asyncmqd/admin/causes.py",
        "if others > len(failed):",
        "if others < 0:",
        ("tests/cli/test_why.py", "-k", "succeed_again"),
    ),
    Mutation(
        "asyncmqd/client/job.py",
        'if edge == "cancel" and record.state is State.ACTIVE:',
        'if edge == "cancel" and record.state is State.WAITING:',
        RECALLS,
    ),
    Mutation(
        "asyncmqd/runtime/leases.py",
        "return late or self.recalled_at >= began",
        "return late",
        RECALLS,
    ),
    Mutation(
        "asyncmqd/client/operations.py",
        "if moved and state is State.ACTIVE:",
        "if moved and state is State.WAITING:",
        RECALLS,
    ),
    Mutation(
        "asyncmqd/client/operations.py",
        'if answer in {"stale", "already"}]',
        "if not answer]",
        ("tests/unit/test_operation.py",),
    ),
    Mutation(
        "asyncmqd/client/operations.py",
        "self._progress = self._progress.after(page.looked, page.after, refusals)",
        "self._progress = self._progress.after(page.looked, None, refusals)",
        OPERATIONS,
    ),
    Mutation(
        "asyncmqd/runtime/process/operations.py",
        'return "" if known.carrier in living else known.carrier',
        "return known.carrier",
        OPERATED,
    ),
    Mutation(
        "asyncmqd/runtime/process/operations.py",
        "if mine is None:",
        "if mine is None and False:",
        OPERATED,
    ),
    Mutation(
        "asyncmqd/backends/contract/operations.py",
        'return "stale" not in answers and',
        "return",
        ("tests/contract/test_operations.py", "-k", "memory or sqlite"),
    ),
    Mutation(
        "asyncmqd/domain/operation.py",
        'if self.verb in {"retry", "run_now"} and',
        "if False and",
        ("tests/unit/test_operation.py",),
    ),
    Mutation(
        "asyncmqd/observe/metrics.py",
        'known = bool(task) and edge != "park"',
        "known = True",
        METRICS,
    ),
    Mutation(
        "asyncmqd/observe/run_totals.py",
        "self._taken[key] = number",
        "self._taken[key] = 0",
        HISTORY,
    ),
    Mutation(
        "asyncmqd/domain/history.py",
        "return before.minute >= minute",
        "return False",
        ("tests/contract/test_history.py",),
    ),
    Mutation(
        "asyncmqd/domain/history.py",
        "if not is_of_the_future(after.minute, now):",
        "if after.minute <= period.minute + HALF_HOUR:",
        ("tests/contract/test_history.py", "-k", "memory"),
    ),
    Mutation(
        "asyncmqd/runtime/process/history_reports.py",
        "over=False)",
        "over=True)",
        HISTORY,
    ),
    Mutation(
        "asyncmqd/observe/metrics.py",
        "if [*places] == part.keys:",
        "if len(places) == len(part.keys):",
        METRICS,
    ),
    Mutation(
        "asyncmqd/observe/metrics.py",
        "if duration is not None and not claim.failures",
        "if duration is not None",
        METRICS,
    ),
    Mutation(
        "asyncmqd/web/authorization.py",
        "if not self._is_proxy(address) or not hop.strip():",
        "if not hop.strip():",
        WEB,
    ),
    Mutation(
        "asyncmqd/web/server.py",
        "if task is not newest and not client.is_answered and not task.cancelling():",
        "if task is not newest and client.is_answered and not task.cancelling():",
        WEB,
    ),
    Mutation(
        "asyncmqd/domain/slot_shares.py",
        "return max(min(1, free), free - idle) if keeps else free - idle",
        "return free",
        SHARES,
    ),
    Mutation(
        "asyncmqd/domain/slot_shares.py",
        "share.turn = (share.held / share.weight, share.served, number, share)",
        "share.turn = (share.held, share.served, number, share)",
        SHARES,
    ),
    Mutation(
        "asyncmqd/domain/slot_shares.py",
        "return 1 if tie and share.served < other.served else number",
        "return number",
        SHARES,
    ),
    Mutation(
        "asyncmqd/domain/slot_shares.py",
        "assured = max(self._assured(share), 1) - share.held",
        "assured = 1 - share.held",
        SHARES,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/max_concurrency.py",
        "return min(own, self.daemon.allowed(self.of_queue)) if own else 0",
        "return own",
        ("tests/simulation/test_worlds.py", "-k", "capped"),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/max_concurrency.py",
        "        if not self._under_way:\n",
        "        if True:\n",
        DAEMON_SLOTS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/max_concurrency.py",
        "            self._slots.want(share, wants=False)\n            self.wake_next()\n",
        "            self._slots.want(share, wants=False)\n",
        DAEMON_SLOTS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/max_concurrency.py",
        "and self.tokens != 0 and self._brake.left != 0",
        "",
        DAEMON_SLOTS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "_MAY_HAVE_WORK = frozenset({LoopState.LOOKING, LoopState.WOKEN})",
        "_MAY_HAVE_WORK = frozenset({LoopState.LOOKING, LoopState.WOKEN, LoopState.UNSURE})",
        DAEMON_SLOTS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/max_concurrency.py",
        "        self.slots.daemon.hold(self.slots.of_queue, 0)\n",
        "",
        DAEMON_SLOTS,
    ),
    Mutation(
        "asyncmqd/admin/facts.py",
        "idle = sum(not held[name] for name in queues if name != queue)",
        "idle = 0",
        WHY,
    ),
    Mutation(
        "asyncmqd/admin/facts.py",
        "if self.now - each.seen <= SILENT)",
        "if each)",
        WHY,
    ),
    Mutation(
        "asyncmqd/admin/facts.py",
        "if not each.load(self.queue).held)",
        "if each)",
        WHY,
    ),
    Mutation(
        "asyncmqd/admin/claim_obstacles.py",
        "holder is None or left < holder.said.lease / 2",
        "holder is None or left < 0",
        WHY,
    ),
    Mutation(
        "asyncmqd/runtime/worker.py",
        "opens=0.0 if math.isinf(wait) else wait,",
        "opens=0.0,",
        WHY,
    ),
    Mutation(
        "asyncmqd/domain/options.py",
        "if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:",
        "if not low <= value <= high:",
        OPTIONS,
    ),
    Mutation(
        "asyncmqd/domain/options.py",
        "STORED = table_of(PRIORITY, RETRIES, TIMEOUT, TTL, COST)",
        "STORED = table_of(PRIORITY, RETRIES, TTL, COST)",
        OPTIONS,
    ),
    Mutation(
        "asyncmqd/domain/argument_rules.py",
        "        bound.apply_defaults()\n",
        "",
        ("tests/client/test_keys.py",),
    ),
    Mutation(
        "asyncmqd/client/pending.py",
        "if options.cost is None:",
        "if False:",
        ("tests/client/test_costs.py",),
    ),
    Mutation(
        "asyncmqd/domain/unique.py",
        "return min(due, now + max(0.0, due - created))",
        "return due",
        ("tests/unit/test_blocked_clock.py",),
    ),
    Mutation(
        "asyncmqd/domain/key_limits.py",
        "return closed_at > self.now + AHEAD",
        "return False",
        ("tests/unit/test_closed_keys.py",),
    ),
    Mutation(
        "asyncmqd/domain/key_limits.py",
        "            self._keys.keep_filling(key, kept)\n",
        "            pass\n",
        ("tests/unit/test_closed_keys.py",),
    ),
    Mutation(
        "asyncmqd/domain/shared_limits.py",
        "msgspec.structs.replace(told, restored=now)",
        "told",
        KEY_LIMITS,
    ),
    Mutation(
        "asyncmqd/domain/shared_limits.py",
        "return msgspec.structs.replace(known, since=since, by=by, limits=limits)",
        "return DeclaredLimits(since=since, by=by, limits=limits)",
        KEY_LIMITS,
    ),
    Mutation(
        "asyncmqd/domain/unique.py", "return due if due > now else None", "return due", REPLACE
    ),
    Mutation(
        "asyncmqd/domain/unique.py",
        'on_conflict == "again" and is_live',
        'on_conflict == "again"',
        ("tests/contract/test_successors.py", "-k", "memory"),
    ),
    Mutation(
        "asyncmqd/domain/unique.py",
        " and started is None",
        "",
        REPLACE,
    ),
    Mutation(
        "asyncmqd/domain/unique.py",
        "due = min(now + delay, created + push_for)",
        "due = now + delay",
        REPLACE,
    ),
    Mutation(
        "asyncmqd/domain/codec.py",
        "return msgspec.structs.replace(spec, id=id) if id and spec.id != id else spec",
        "return spec",
        ("tests/client/test_unique.py",),
    ),
    Mutation(
        "asyncmqd/domain/schedule.py",
        "    if JOB_ID.fullmatch(id):\n",
        "    if id:\n",
        OPTIONS,
    ),
    Mutation(
        "asyncmqd/runtime/execution/failures.py",
        "        BaseException.with_traceback(each, None)\n",
        "",
        EXECUTORS,
    ),
    Mutation(
        "asyncmqd/runtime/execution/retry_rules.py",
        "return judge(msgspec.structs.replace(plain, backoff=DEFAULT_BACKOFF))",
        "raise",
        EXECUTORS,
    ),
    Mutation(
        "asyncmqd/domain/retry.py",
        "return all(isinstance(leaf, retry_on) for leaf in leaves(error))",
        "return any(isinstance(leaf, retry_on) for leaf in leaves(error))",
        EXECUTORS,
    ),
    Mutation(
        "asyncmqd/domain/settle.py",
        'progress=b"" if edge in _BACK else None,',
        "progress=None,",
        ("tests/contract/test_fencing.py", "-k", "goes_back"),
    ),
    Mutation(
        "asyncmqd/daemon/task_owners.py",
        "    if job is None:\n        _unlist(task)\n",
        "    if job is None:\n        pass\n",
        ("tests/daemon/test_owners.py",),
    ),
    Mutation(
        "asyncmqd/daemon/task_owners.py",
        "    for task in tasks:\n        _unlist(task)\n",
        "",
        ("tests/daemon/test_owners.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/loop.py",
        "                self._other_awake.set()\n",
        "                pass\n",
        ("tests/runtime/test_polls.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/loop.py",
        "if self._one_has_stopped or not",
        "if not",
        ("tests/runtime/test_polls.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/loop.py",
        "            self._process_wakeups.sign_up_others(self.queue)\n",
        "",
        ("tests/unit/test_redis_wakeups.py", "-k", "signs_off"),
    ),
    Mutation(
        "asyncmqd/runtime/queue_wait.py",
        "with contextlib.suppress(StoreError):  # then its lease",
        "with contextlib.suppress():  # then its lease",
        ("tests/contract/test_cancelling.py", "-k", "memory and fails"),
    ),
    Mutation(
        "asyncmqd/web/event_streams.py",
        "                if not may_go_on():",
        "                if part is None and not may_go_on():",
        ("tests/runtime/test_event_streams.py",),
    ),
    Mutation(
        "asyncmqd/backends/redis/encoding.py",
        "if digits.isdigit() and len(digits) == HEADER * len(heads):",
        "if digits.isdigit():",
        ("tests/unit/test_redis_encoding.py",),
    ),
    Mutation(
        "asyncmqd/runtime/handle_job.py",
        "        raise cancelled\n",
        "        return\n",
        ("tests/contract/test_cancelling.py",),
    ),
    Mutation(
        "asyncmqd/domain/settle.py",
        "    failures = claim.failures + 1\n",
        "    failures = claim.failures + claim.crashes + 1\n",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/domain/settle.py",
        "if failures <= policy.retries:",
        "if failures <= policy.retries + 1:",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/domain/settle.py",
        "delay=min(pause, MAX_DELAY) if pause > 0 else 0.0,",
        "delay=0.0,",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/domain/settle.py",
        "crashes >= CRASH_LIMIT and (claim.solo or crash.alone)",
        "crashes >= CRASH_LIMIT",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/rate_limiter.py",
        "        self._tokens -= count\n",
        "        self._tokens -= count / 2\n",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/rate_limiter.py",
        "math.floor(self._tokens - self._reserved + _EPSILON)",
        "math.floor(self._tokens + _EPSILON)",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/poison_isolation.py",
        "        return not (self._inside or self._overstays)\n",
        "        return True\n",
        ("tests/runtime/test_trials.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/poison_isolation.py",
        "self.candidate, self.active = candidate, True",
        "self.candidate, self.active = candidate, False",
        WORLDS,
    ),
    Mutation(
        "asyncmqd/runtime/leases.py",
        "return max(0.0, self.duration / RENEWALS - took)",
        "return self.duration / RENEWALS",
        ("tests/runtime/test_stalls.py::test_one_lost_renewal_costs_no_lease",),
    ),
    Mutation(
        "asyncmqd/runtime/process/health.py",
        "        return self.good and since > self._lease / RENEWALS\n",
        "        return self.good\n",
        STALLED,
    ),
    Mutation(
        "asyncmqd/runtime/process/health.py",
        "        if jump or answered - asked > self._lease / RENEWALS:\n",
        "        if jump or answered - asked > 10 * self._lease:\n",
        STALLED,
    ),
    Mutation(
        "asyncmqd/runtime/process/health.py",
        "        if jump or answered - asked > self._lease / RENEWALS:\n",
        "        if answered - asked > self._lease / RENEWALS:\n",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/domain/store_clock.py",
        "return moment if moment <= now + TOLERANCE else now",
        "return moment",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/domain/store_clock.py",
        "return end > now + longest + TOLERANCE",
        "return False",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/domain/store_clock.py",
        "went_back = end < self._earliest",
        "went_back = False",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/runtime/scanner.py",
        "self._bounded = jumps ",
        "self._bounded = self._jumps ",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/runtime/scanner.py",
        "return saw_jump or believed(started, now) != started",
        "return True",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/runtime/scanner.py",
        "return saw_jump or believed(started, now) != started",
        "return saw_jump",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/runtime/process/presence.py",
        "return max(self.lease, *others, 0.0)",
        "return self.lease",
        JUMPS,
    ),
    Mutation(
        "asyncmqd/domain/former_self.py",
        "if not former.boot or former.boot != own.boot:",
        "if not former.boot:",
        ("tests/unit/test_life.py",),
    ),
    Mutation(
        "asyncmqd/runtime/duties.py",
        "if error is None or (self._ending and task.cancelled()):",
        "if error is None or task.cancelled():",
        ("tests/runtime/test_duties.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "if state is LoopState.WOKEN and not view.capacity:",
        "if False:",
        ("tests/runtime/test_passing_on.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "    if state in _IS_UNSURE:\n",
        "    if state is LoopState.UNSURE:\n",
        DECISION,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "{LoopState.ASKING: LoopState.LOOKING, LoopState.REGISTERED: LoopState.WOKEN},",
        "{LoopState.ASKING: LoopState.LOOKING, LoopState.REGISTERED: LoopState.LOOKING},",
        DECISION,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "{LoopState.ASKING: LoopState.REGISTERED, LoopState.LOOKING: LoopState.WOKEN},",
        "{LoopState.ASKING: LoopState.REGISTERED, LoopState.LOOKING: LoopState.REGISTERED},",
        DECISION,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/claim_decision.py",
        "if view.exclusive or view.undeclared:",
        "if view.undeclared:",
        DECISION,
    ),
    Mutation(
        "asyncmqd/runtime/claiming/loop.py",
        "            brought = await self._runs.still_held(brought)\n",
        "            self.capacity.use(reserved, len(brought))\n"
        "            brought = await self._runs.still_held(brought)\n"
        "            reserved = NOTHING\n",
        ("tests/runtime/test_found_by_simulation.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/loop.py",
        "await self._runs.take_up(self.queue, self.name, lambda: False)",
        "pass",
        ("tests/runtime/test_workers.py",),
    ),
    Mutation(
        "asyncmqd/runtime/claiming/unacknowledged.py",
        "        if run.progress is not None:\n",
        "        if run.id in self.progressed:\n",
        ("tests/runtime/test_workers.py",),
    ),
    Mutation(
        "asyncmqd/backends/redis/large_payloads.py",
        "if len(string) == piece]",
        "if len(string) == self.of(queue)]",
        ("tests/unit/test_redis_large.py",),
    ),
    Mutation(
        "asyncmqd/backends/redis/large_payloads.py",
        'return "" if queue in self._small else PIECE',
        'return ""',
        ("tests/unit/test_redis_large.py",),
    ),
]

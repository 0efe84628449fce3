"""SQS: queues that stay fast when long, and receipt handles that expire.

What moto does: it rescans the whole queue at each receive, delete and count (0.4 s for a receive at
1,000 messages), lets receive race with delete, wakes a long poll only within a second, and deletes
by any receipt handle the message ever had. One refused visibility change fails its whole batch.

What AWS does: see SQS Developer Guide, "Amazon SQS visibility timeout" and API Reference,
"DeleteMessage": an old handle may succeed without deleting a message that was received again. Here
it never deletes. "ChangeMessageVisibility" allows up to 12 hours from the receive; in a batch, a
refused entry does not affect the others.

FIFO queues keep moto's own code, behind the same lock.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from moto.sqs import models
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid
from moto.sqs.models import Message, Queue, SQSBackend

from remotejob.local.callers import caller_is_gone
from remotejob.local.keeping.changes import message_changed, message_gone

_MAX_VISIBILITY_S = 12 * 3600
_ORDER = itertools.count()


def close_gap() -> None:
    """Replace moto's message handling for standard queues."""
    _replace_queue()
    _replace_backend()


class Messages:
    """The messages of one standard queue. Hold `condition` when calling any method."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.condition = threading.Condition(threading.RLock())
        self._ready: OrderedDict[str, Message] = OrderedDict()
        self._hidden: dict[str, Message] = {}
        self._delayed: dict[str, Message] = {}
        #: When hidden or delayed messages become visible; outdated entries are skipped.
        self._returns: list[tuple[float, int, str]] = []
        self._by_handle: dict[str, Message] = {}
        #: Handles whose message was deleted or received again.
        self._stale: set[str] = set()

    def __iter__(self) -> Iterator[Message]:
        return itertools.chain(
            list(self._ready.values()), list(self._hidden.values()), list(self._delayed.values())
        )

    def counts(self) -> tuple[int, int, int]:
        """The numbers of messages that are ready, in flight and delayed."""
        self._bring_back()
        return len(self._ready), len(self._hidden), len(self._delayed)

    def ready(self) -> list[Message]:
        """The messages a receive would find now."""
        self._bring_back()
        return list(self._ready.values())

    def add(self, message: Message) -> None:
        """Add a sent message."""
        if message.delayed:
            self._delayed[message.id] = message
            self._return_at(message.delayed_until / 1000, message)
        else:
            self._ready[message.id] = message
            message_changed(self.queue, message)
        self.condition.notify_all()

    def restore(self, message: Message) -> None:
        """Put back a kept message. Its receipt handle stays valid until it is received again."""
        if message.receipt_handle is not None:
            message.received_at = time.time()  # type: ignore[attr-defined]
            self._by_handle[message.receipt_handle] = message
        if message.delayed:
            self._delayed[message.id] = message
            self._return_at(message.delayed_until / 1000, message)
        else:
            self._ready[message.id] = message
        self.condition.notify_all()

    def take(self) -> Message | None:
        """Remove and return the next visible message."""
        self._bring_back()
        return self._ready.popitem(last=False)[1] if self._ready else None

    def hide(self, message: Message, seconds: int) -> None:
        """Put a message in flight, hidden for `seconds`."""
        message.mark_received(visibility_timeout=seconds)
        for old in message._old_receipt_handles:
            if old is not None:
                self._by_handle.pop(old, None)
                self._stale.add(old)
        message._old_receipt_handles.clear()
        assert message.receipt_handle is not None
        message.received_at = time.time()  # type: ignore[attr-defined]
        self._by_handle[message.receipt_handle] = message
        if seconds > 0:
            self._hidden[message.id] = message
            self._return_at(time.time() + seconds, message)
        else:
            self._ready[message.id] = message
            message_changed(self.queue, message)

    def change_visibility(self, handle: str, seconds: int) -> None:
        """Make a message in flight visible again in `seconds`. An old handle changes nothing.

        Raises: ReceiptHandleIsInvalid, for an unknown handle; InvalidParameterValue, for more than
        12 hours from the receive.
        """
        message = self._by_handle.get(handle)
        if message is None:
            if handle in self._stale:
                return
            raise ReceiptHandleIsInvalid
        received: float = message.received_at  # type: ignore[attr-defined]
        if time.time() + seconds - received > _MAX_VISIBILITY_S:
            raise InvalidParameterValue(
                f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total "
                "VisibilityTimeout for the message is beyond the limit [43200 seconds]"
            )
        message.change_visibility(seconds)
        self._ready.pop(message.id, None)
        if seconds > 0:
            self._hidden[message.id] = message
            self._return_at(time.time() + seconds, message)
        else:
            self._hidden.pop(message.id, None)
            self._ready[message.id] = message
            message_changed(self.queue, message)
        # even if still hidden: it may become visible sooner than a long poll expects
        self.condition.notify_all()

    def delete(self, handle: str) -> None:
        """Delete the message of a current handle; an old handle deletes nothing.

        Raises: ReceiptHandleIsInvalid, for an unknown handle.
        """
        message = self._by_handle.pop(handle, None)
        if message is None:
            if handle in self._stale:
                return
            raise ReceiptHandleIsInvalid
        self._stale.add(handle)
        self._remove(message)

    def forget(self, message: Message) -> None:
        """Drop a message that expired or went to the dead-letter queue, with its handle."""
        if message.receipt_handle is not None:
            self._by_handle.pop(message.receipt_handle, None)
            self._stale.add(message.receipt_handle)
        self._remove(message)

    def purge(self) -> None:
        """Drop every message."""
        for message in list(self):
            self.forget(message)

    def next_return(self) -> float | None:
        """When the first hidden or delayed message becomes visible, as Unix time."""
        return self._returns[0][0] if self._returns else None

    def _remove(self, message: Message) -> None:
        for place in (self._ready, self._hidden, self._delayed):
            place.pop(message.id, None)
        message_gone(self.queue, message.id)

    def _return_at(self, when: float, message: Message) -> None:
        message.returns_at = when  # type: ignore[attr-defined]
        heapq.heappush(self._returns, (when, next(_ORDER), message.id))
        message_changed(self.queue, message, returns_at=when)

    def _bring_back(self) -> None:
        now = time.time()
        while self._returns and self._returns[0][0] <= now:
            when, _, message_id = heapq.heappop(self._returns)
            for place in (self._hidden, self._delayed):
                message = place.get(message_id)
                # A different time means that the visibility was changed since.
                if message is not None and message.returns_at == when:  # type: ignore[attr-defined]
                    del place[message_id]
                    self._ready[message_id] = message


def messages_of(queue: Queue) -> Messages:
    """The messages of a queue, created at first use."""
    found: Messages | None = queue.__dict__.get("_fast_messages")
    if found is None:
        found = queue.__dict__.setdefault("_fast_messages", Messages(queue.name))
    return found


def receive(queue: Queue, count: int, wait_s: float, visibility_s: int) -> list[Message]:
    """Receive from a standard queue: wait for the first message, then take all available.

    If the caller was killed meanwhile, take nothing: the messages would stay hidden for a while.
    """
    messages = messages_of(queue)
    end = time.monotonic() + wait_s
    with messages.condition:
        while not caller_is_gone():
            received = _take(queue, messages, count, visibility_s)
            left = end - time.monotonic()
            if received or left <= 0:
                return received
            back = messages.next_return()
            # Wakes up at a send, or when a hidden or delayed message becomes visible.
            messages.condition.wait(left if back is None else min(left, max(0, back - time.time())))
    return []


def _take(queue: Queue, messages: Messages, count: int, visibility_s: int) -> list[Message]:
    received: list[Message] = []
    retention_ms = int(queue.message_retention_period) * 1000  # type: ignore[attr-defined]
    policy: Any = queue.redrive_policy
    while len(received) < count and (message := messages.take()) is not None:
        sent_ms: int = message.sent_timestamp  # type: ignore[assignment]
        if sent_ms + retention_ms <= time.time() * 1000:
            messages.forget(message)
        elif (
            queue.dead_letter_queue is not None
            and policy
            and message.approximate_receive_count >= policy["maxReceiveCount"]
        ):
            # first there, then gone from here: what is kept must not lose it in between
            _move(message, queue.dead_letter_queue)
            messages.forget(message)
        else:
            received.append(message)
    for message in received:
        messages.hide(message, visibility_s)
    return [copy.copy(m) for m in received]


def _move(message: Message, target: Queue) -> None:
    # A message keeps its id and sent time when it moves to the dead-letter queue.
    message.delayed_until = 0.0
    message.visible_at = 0.0
    destination = messages_of(target)
    with destination.condition:
        destination.add(message)


def _replace_queue() -> None:
    stock_add, stock_delete = Queue.add_message, Queue.delete_message
    stock_messages: Any = vars(Queue)["messages"].fget

    def add_message(self: Queue, message: Message) -> None:
        messages = messages_of(self)
        with messages.condition:
            if self.fifo_queue:
                # `event_sources` polls for mappings; don't invoke functions inside the send.
                mappings, self.lambda_event_source_mappings = self.lambda_event_source_mappings, {}
                try:
                    stock_add(self, message)
                finally:
                    self.lambda_event_source_mappings = mappings
            else:
                messages.add(message)

    def delete_message(self: Queue, receipt_handle: str) -> None:
        messages = messages_of(self)
        with messages.condition:
            if self.fifo_queue:
                stock_delete(self, receipt_handle)
            else:
                messages.delete(receipt_handle)

    def visible(self: Queue) -> list[Message]:
        if self.fifo_queue:
            found: list[Message] = stock_messages(self)
            return found
        messages = messages_of(self)
        with messages.condition:
            return messages.ready()

    replacements: dict[str, Any] = {
        "add_message": add_message,
        "delete_message": delete_message,
        "messages": property(visible),
        "approximate_number_of_messages": property(_count(0)),
        "approximate_number_of_messages_not_visible": property(_count(1)),
        "approximate_number_of_messages_delayed": property(_count(2)),
    }
    for name, replacement in replacements.items():
        setattr(Queue, name, replacement)


def _count(index: int) -> Callable[[Queue], int]:
    """A property that counts the messages ready (0), in flight (1) or delayed (2)."""

    def counted(self: Queue) -> int:
        messages = messages_of(self)
        with messages.condition:
            if not self.fifo_queue:
                return messages.counts()[index]
            states = [2 if m.delayed else 0 if m.visible else 1 for m in self._messages]
            return states.count(index)

    return counted


def change_visibility_one_by_one(
    self: SQSBackend, queue_name: str, entries: list[dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Handle each entry of a batch independently."""
    done: list[str] = []
    refused: list[dict[str, Any]] = []
    for entry in entries:
        try:
            seconds = int(entry["VisibilityTimeout"])
            self.change_message_visibility(queue_name, entry["ReceiptHandle"], seconds)
        except (ReceiptHandleIsInvalid, InvalidParameterValue) as problem:
            code = type(problem).__name__
            refused.append({"Id": entry["Id"], "SenderFault": True, "Code": code})
        else:
            done.append(entry["Id"])
    return done, refused


def _replace_backend() -> None:
    stock_receive = SQSBackend.receive_message
    stock_change = SQSBackend.change_message_visibility
    stock_purge = SQSBackend.purge_queue

    def receive_message(
        self: SQSBackend,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        queue = self.get_queue(queue_name)
        if queue.fifo_queue:
            return stock_receive(
                self,
                queue_name,
                count,
                wait_seconds_timeout,
                visibility_timeout,
                message_attribute_names,
            )
        received = receive(queue, count, float(wait_seconds_timeout), int(visibility_timeout))
        for message in received:
            models._filter_message_attributes(message, message_attribute_names or [])
        return received

    def change_message_visibility(
        self: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        queue = self.get_queue(queue_name)
        messages = messages_of(queue)
        with messages.condition:
            if queue.fifo_queue:
                stock_change(self, queue_name, receipt_handle, visibility_timeout)
            else:
                messages.change_visibility(receipt_handle, int(visibility_timeout))

    def purge_queue(self: SQSBackend, queue_name: str) -> None:
        stock_purge(self, queue_name)
        messages = messages_of(self.get_queue(queue_name))
        with messages.condition:
            messages.purge()

    replacements: dict[str, Any] = {
        "receive_message": receive_message,
        "change_message_visibility": change_message_visibility,
        "change_message_visibility_batch": change_visibility_one_by_one,
        "purge_queue": purge_queue,
    }
    for name, replacement in replacements.items():
        setattr(SQSBackend, name, replacement)

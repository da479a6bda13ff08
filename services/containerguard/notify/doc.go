// Package notify sends messages to a webhook. No action waits for it: Send puts a message
// into a bounded queue, and into a file until it was sent or given up, so that it
// outlives a guard that is stopped or killed. A guard killed while it sends sends the
// message again after the next start, under the same id.
//
// Messages are independent: one that fails is tried again later and delays no other.
// While a webhook is unreachable or answers 429 no message is sent to it for a while. When
// the URL changes, all pending messages are sent to the new one at once. When 256 messages wait, the next is refused with ErrFull.
//
// Redirects are not followed: the webhook is configured by the administrator and may be
// on a private network, but its server must not choose what else the guard sends to.
package notify

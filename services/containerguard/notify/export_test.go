package notify

import "time"

// SetPause makes every pause between tries d.
func (n *Notifier) SetPause(d time.Duration) { n.pause = func(int) time.Duration { return d } }

// NameOf is that of the file of a message.
func NameOf(id string) string { return nameOf(id) }

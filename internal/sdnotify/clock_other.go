//go:build !linux

package sdnotify

// monotonicMicroseconds is unused: there is no systemd here.
func monotonicMicroseconds() int64 { return 0 }

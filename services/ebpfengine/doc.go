// Package ebpfengine watches the packets of network interfaces with XDP. Every second it reads the kernel's counters, has
// package detect find attacks in them, and publishes windows, sampled flows, detections and counts of blocked traffic on the
// bus; it raises no alerts. Package blocklist keeps the kernel's blocklist equal to its desired state. Programs and lists are
// pinned: blocked addresses stay blocked when the process is killed, and the next start takes over without letting a packet
// through.
package ebpfengine

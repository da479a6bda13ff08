// Package ebpfengine watches the packets of network interfaces with XDP. Every
// second it reads what the kernel counted, has package detect name the attacks in
// it, and publishes windows, sampled flows, detections and counts of what was
// blocked; it raises no alerts. It makes the kernel's blocklist equal to what is wanted
// (package blocklist). The programs are pinned: what is blocked stays blocked when the
// process is killed, and the next start takes over without letting a packet through.
package ebpfengine

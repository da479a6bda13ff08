// Package ebpfengine watches packets with XDP and publishes what it sees; here, its configuration.
package ebpfengine

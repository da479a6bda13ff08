//go:build !linux

package syslog

import "net"

const noFollow = 0

func setReceiveBuffer(c *net.UDPConn) { _ = c.SetReadBuffer(udpBuffer) }

func kernelDrops(*net.UDPConn) (uint32, bool) { return 0, false }

//go:build !linux

package syslog

import (
	"context"
	"errors"
	"net"
)

const noFollow = 0

func setReceiveBuffer(c *net.UDPConn) { _ = c.SetReadBuffer(udpBuffer) }

func (*Server) serveUnix(context.Context, string) error {
	return errors.New("a unix socket as source is not supported on this system")
}

func kernelDrops(*net.UDPConn) (uint32, bool) { return 0, false }

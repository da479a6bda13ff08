// Command observerattack is a hostile client of the observers' port:
//
//	observerattack ADDRESS ATTACK...
//
// runs attacks until its standard input ends, and prints how many connections it made.
//
//	observerattack ADDRESS watch
//
// prints PONG when it has subscribed to the alerts, and then what it gets.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const hello = "CONNECT {\"verbose\":false}\r\n"

// attack is what one connection does until the daemon closes it.
type attack struct {
	connections int
	do          func(c net.Conn) error
}

func attacks() map[string]attack {
	return map[string]attack{
		"subscriptions": {60, subscribeOften},
		"slow":          {8, neverRead},
		"big":           {8, publishMuch},
		"replies":       {8, nameReplies},
		"connects":      {4, func(net.Conn) error { return nil }},
	}
}

func subscribeOften(c net.Conn) error {
	var text strings.Builder
	text.WriteString(hello)
	for n := range 1024 {
		fmt.Fprintf(&text, "SUB ironpost.alerts %d\r\n", n)
	}
	_, err := io.WriteString(c, text.String())
	_, _ = io.Copy(io.Discard, c)
	return err
}

func neverRead(c net.Conn) error {
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, err := io.WriteString(c, hello+"SUB ironpost.alerts 1\r\nSUB ironpost.alerts 2\r\n")
	for err == nil { // until it is dropped
		time.Sleep(50 * time.Millisecond)
		_, err = io.WriteString(c, "PING\r\n")
	}
	return err
}

func publishMuch(c net.Conn) error {
	const size = 200 << 10
	big := fmt.Sprintf("PUB $SRV.PING _INBOX.x %d\r\n%s\r\n", size, strings.Repeat("x", size))
	_, err := io.WriteString(c, hello)
	for err == nil {
		_, err = io.WriteString(c, big)
	}
	return err
}

func nameReplies(c net.Conn) error {
	_, err := io.WriteString(c, hello+"PUB $SRV.PING ironpost.alerts 0\r\n\r\nPUB $SRV.PING $KV.ironpost_blocklist.09090909 0\r\n\r\n")
	_, _ = io.Copy(io.Discard, c)
	return err
}

func main() {
	address := os.Args[1]
	if os.Args[2] == "watch" {
		watch(address)
		return
	}
	var made atomic.Uint64
	for _, name := range os.Args[2:] {
		a := attacks()[name]
		for range a.connections {
			go func() {
				for {
					c, err := net.DialTimeout("tcp", address, 5*time.Second)
					if err != nil {
						time.Sleep(10 * time.Millisecond)
						continue
					}
					made.Add(1)
					_ = a.do(c)
					_ = c.Close()
				}
			}()
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(made.Load())
}

func watch(address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = io.WriteString(c, hello+"SUB ironpost.alerts 1\r\nPING\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		fmt.Println(lines.Text())
	}
}

package parse

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/sigma"
)

// parsePANOS parses the syslog messages of Palo Alto PAN-OS ("Syslog Field Descriptions"): values between commas, some in quotes.
//
//	1,2026/11/29 20:00:00,007,TRAFFIC,end,2049,2026/11/29 20:00:00,192.0.2.7,198.51.100.1,…
func parsePANOS(ev *Event, text string) bool {
	v := cutCSV(text)
	if len(v) < 7 || len(v[1]) != len("2026/11/29 20:00:00") {
		return false
	}
	switch v[3] {
	case "TRAFFIC", "THREAT", "SYSTEM", "CONFIG", "USERID", "GLOBALPROTECT", "HIPMATCH", "DECRYPTION", "AUTHENTICATION":
	default:
		return false
	}
	at, err := time.ParseInLocation("2006/01/02 15:04:05", v[1], ev.settings.zone)
	if err != nil {
		return false
	}
	ev.Time = at
	ev.Logsource = sigma.Logsource{Product: "paloalto", Service: strings.ToLower(v[3])}
	ev.set("serial", v[2])
	ev.set("type", strings.ToLower(v[3]))
	ev.set("subtype", v[4])
	if v[3] == "TRAFFIC" || v[3] == "THREAT" {
		ev.Logsource.Category = "firewall"
		setPANOSPacket(ev, v)
	}
	return true
}

// setPANOSPacket sets the values that traffic and threats have in the same places. Some senders end earlier.
func setPANOSPacket(ev *Event, v []string) {
	at := func(i int) string {
		if i >= len(v) {
			return ""
		}
		return v[i]
	}
	ev.setSource(at(7))
	ev.set("dst_ip", at(8))
	ev.set("rule", at(11))
	if at(12) != "" {
		ev.setUser(at(12))
	}
	ev.set("target_user", at(13))
	ev.set("application", at(14))
	ev.set("in_interface", at(18))
	ev.set("out_interface", at(19))
	if port, ok := parsePort(at(24)); ok {
		ev.setPort(port)
	}
	ev.setNumber("dst_port", at(25))
	ev.set("protocol", at(29))
	ev.set("action", at(30))
	if v[3] == "TRAFFIC" {
		ev.setNumber("bytes", at(31))
		return
	}
	ev.set("threat", at(32))
	ev.set("threat_category", at(33))
	ev.set("event_severity", at(34))
	if v[4] == "url" && at(31) != "" {
		ev.set("c-uri", at(31))
		host, path, _ := strings.Cut(at(31), "/")
		ev.set("cs-host", host)
		ev.setURI("/" + path)
	}
}

// cutCSV splits s at commas; a value in quotes may contain commas, and a quote twice.
func cutCSV(s string) (values []string) {
	for len(values) < maxPairs {
		if !strings.HasPrefix(s, `"`) {
			value, rest, more := strings.Cut(s, ",")
			values = append(values, value)
			if !more {
				return values
			}
			s = rest
			continue
		}
		end := 1
		for end < len(s) && (s[end] != '"' || strings.HasPrefix(s[end:], `""`)) {
			if s[end] == '"' {
				end++
			}
			end++
		}
		values = append(values, strings.ReplaceAll(s[1:min(end, len(s))], `""`, `"`))
		_, rest, more := strings.Cut(s[min(end, len(s)):], ",")
		if !more {
			return values
		}
		s = rest
	}
	return values
}

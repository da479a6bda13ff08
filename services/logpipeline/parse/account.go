package parse

import "strings"

// parseAccount parses the messages of shadow-utils: useradd, usermod, userdel,
// groupadd, passwd, gpasswd and related programs.
func parseAccount(ev *Event) {
	msg := cutPAMModule(ev, ev.Message)
	if parseAccountAdded(ev, msg) || parseMemberAdded(ev, msg) || parsePasswordChanged(ev, msg) {
		return
	}
	// delete user 'bob'; change user 'bob' shell from …; lock user 'bob' password
	verb, rest, ok := strings.Cut(msg, " user '")
	if !ok {
		return
	}
	switch verb {
	case "delete":
		ev.setAction("user_deleted")
		ev.setUser(strings.TrimSuffix(rest, "'"))
	case "change", "lock", "unlock":
		user, _, _ := strings.Cut(rest, "'")
		ev.setAction("user_modified")
		ev.setUser(user)
	}
}

// parseAccountAdded parses
//
//	new user: name=bob, UID=0, …
//	new group: name=bob, GID=7
//	group added to /etc/group: name=bob, GID=7
func parseAccountAdded(ev *Event, msg string) bool {
	kind, rest, ok := strings.Cut(msg, ": name=")
	if !ok {
		return false
	}
	name, rest, _ := strings.Cut(rest, ", ")
	switch {
	case kind == "new user":
		ev.setAction("user_added")
		ev.setUser(name)
	case kind == "new group", strings.HasPrefix(kind, "group added to "):
		ev.setAction("group_added")
		ev.set("group", name)
	default:
		return false
	}
	for part := range strings.SplitSeq(rest, ", ") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "UID", "GID", "home", "shell":
			ev.set(strings.ToLower(key), value)
		}
	}
	return true
}

// parseMemberAdded parses
//
//	add 'bob' to [shadow ]group 'wheel'
//	user bob added by root to group wheel              (gpasswd)
func parseMemberAdded(ev *Event, msg string) bool {
	var user, group string
	if rest, ok := strings.CutPrefix(msg, "add '"); ok {
		user, rest, _ = strings.Cut(rest, "' to ")
		_, group, _ = strings.Cut(rest, "group '")
		group = strings.TrimSuffix(group, "'")
	} else if rest, ok := strings.CutPrefix(msg, "user "); ok {
		user, rest, ok = strings.Cut(rest, " added by ")
		_, group, _ = strings.Cut(rest, " to group ")
		if !ok {
			return false
		}
	}
	if user == "" || group == "" {
		return false
	}
	ev.setAction("group_member_added")
	ev.setUser(user)
	ev.set("group", group)
	return true
}

// parsePasswordChanged parses
//
//	password changed for bob
//	password for 'bob' changed by 'root'
//	change user 'bob' password
func parsePasswordChanged(ev *Event, msg string) bool {
	user, found := strings.CutPrefix(msg, "password changed for ")
	for _, form := range [...]struct{ head, tail string }{
		{"password for '", "' changed by "},
		{"change user '", "' password"},
	} {
		if rest, ok := strings.CutPrefix(msg, form.head); ok && !found {
			user, _, found = strings.Cut(rest, form.tail)
		}
	}
	if found {
		ev.setAction("password_changed")
		ev.setUser(user)
	}
	return found
}

package parse

import "strings"

// account reads the messages of shadow-utils: useradd, usermod, userdel, groupadd,
// passwd, gpasswd and their like.
func account(ev *Event) {
	msg := ev.Message
	switch {
	case accountNew(ev, msg), accountMember(ev, msg), accountPassword(ev, msg):
	case accountGone(ev, msg), accountChanged(ev, msg):
	}
}

// accountNew reads "new user: name=bob, UID=0, …", "new group: name=bob, GID=7" and
// "group added to /etc/group: name=bob, GID=7".
func accountNew(ev *Event, msg string) bool {
	kind, rest, ok := strings.Cut(msg, ": name=")
	if !ok {
		return false
	}
	name, rest, _ := strings.Cut(rest, ", ")
	switch {
	case kind == "new user":
		ev.action("user_added")
		ev.user(name)
	case kind == "new group", strings.HasPrefix(kind, "group added to "):
		ev.action("group_added")
		ev.set("group", name)
	default:
		return false
	}
	for part := range strings.SplitSeq(rest, ", ") {
		if key, value, ok := strings.Cut(part, "="); ok {
			switch key {
			case "UID", "GID", "home", "shell":
				ev.set(strings.ToLower(key), value)
			}
		}
	}
	return true
}

// accountMember reads "add 'bob' to [shadow ]group 'wheel'" and gpasswd's
// "user bob added by root to group wheel".
func accountMember(ev *Event, msg string) bool {
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
	ev.action("group_member_added")
	ev.user(user)
	ev.set("group", group)
	return true
}

// accountPassword reads "password changed for bob", "change user 'bob' password"
// and "password for 'bob' changed by 'root'".
func accountPassword(ev *Event, msg string) bool {
	msg = afterModule(msg)
	for _, form := range [...]struct{ head, tail string }{
		{"password changed for ", ""},
		{"password for '", "' changed by "},
		{"change user '", "' password"},
	} {
		rest, ok := strings.CutPrefix(msg, form.head)
		if !ok {
			continue
		}
		user, _, found := strings.Cut(rest, form.tail)
		if form.tail == "" {
			user, found = rest, true
		}
		if found {
			ev.action("password_changed")
			ev.user(user)
			return true
		}
	}
	return false
}

// accountGone reads "delete user 'bob'".
func accountGone(ev *Event, msg string) bool {
	rest, ok := strings.CutPrefix(msg, "delete user '")
	if !ok {
		return false
	}
	ev.action("user_deleted")
	ev.user(strings.TrimSuffix(rest, "'"))
	return true
}

// accountChanged reads "change user 'bob' shell from …" and the (un)locking of one.
func accountChanged(ev *Event, msg string) bool {
	verb, rest, ok := strings.Cut(msg, " user '")
	if !ok {
		return false
	}
	switch verb {
	case "change", "lock", "unlock":
	default:
		return false
	}
	user, _, _ := strings.Cut(rest, "'")
	ev.action("user_modified")
	ev.user(user)
	return true
}

// su reads both dialects of su(1), and what PAM says for su and login. User is who
// asked, target_user who they wanted to be.
func su(ev *Event) {
	msg := ev.Message
	if pamFailure(ev, msg) || pamSession(ev, msg) {
		suPAM(ev, msg)
		return
	}
	switch {
	case strings.HasPrefix(msg, "Successful su for "):
		target, by, _ := strings.Cut(strings.TrimPrefix(msg, "Successful su for "), " by ")
		ev.switched("su_success", by, target)
	case strings.HasPrefix(msg, "FAILED su for "):
		target, by, _ := strings.Cut(strings.TrimPrefix(msg, "FAILED su for "), " by ")
		ev.switched("su_failed", by, target)
	case strings.HasPrefix(msg, "(to "), strings.HasPrefix(msg, "FAILED SU (to "):
		suTo(ev, msg)
	}
}

// suTo reads util-linux: "[FAILED SU ](to root) alice on pts/0".
func suTo(ev *Event, msg string) {
	rest, failed := strings.CutPrefix(msg, "FAILED SU ")
	target, rest, _ := strings.Cut(strings.TrimPrefix(rest, "(to "), ") ")
	by, tty, _ := strings.Cut(rest, " on ")
	ev.set("tty", tty)
	action := "su_success"
	if failed {
		action = "su_failed"
	}
	ev.switched(action, by, target)
}

// suPAM puts who asked and who was wanted in their places: PAM's user is the
// latter.
func suPAM(ev *Event, msg string) {
	target := ev.User
	by := ""
	if _, rest, ok := strings.Cut(msg, " ruser="); ok {
		by, _, _ = strings.Cut(rest, " ")
	}
	if _, rest, ok := strings.Cut(msg, " by "); ok {
		by, _, _ = strings.Cut(rest, "(")
	}
	if by == "" {
		return
	}
	ev.set("target_user", target)
	ev.user(by)
}

func (e *Event) switched(action, by, target string) {
	e.action(action)
	e.user(by)
	e.set("target_user", target)
}

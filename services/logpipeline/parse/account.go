package parse

import "strings"

// parseAccount parses the messages of shadow-utils (useradd, usermod, userdel,
// groupadd, passwd, gpasswd, chage, chsh and related programs), of adduser and of BusyBox.
func parseAccount(ev *Event) {
	msg := ev.Message
	if parseAccountAdded(ev, msg) || accountPhrases.parse(ev, msg) {
		return
	}
	parsePAM(ev, msg)
}

var accountPhrases = compile(
	form{"delete user '{user*}'", "user_deleted", ""},
	form{"Removing user `{user*}' ...", "user_deleted", ""}, // adduser
	form{"Adding new user `{user}' ({uid}) with group `{_*}' ...", "user_added", ""},
	form{"failed adding user '{user}', {reason*}", "user_add_failed", ""},
	form{"change user '{user}' password", "password_changed", ""},
	form{"change user '{user}' UID from '{_}' to '{uid}'", "user_modified", ""},
	form{"change user '{user}' GID from '{_}' to '{gid}'", "user_modified", ""},
	form{"change user '{user}' {attribute} from {_*}", "user_modified", ""},
	form{"change user '{user}' {attribute*}", "user_modified", ""},
	form{"change user name '{user}' to '{new_name*}'", "user_modified", ""},
	form{"changed user '{user}' {attribute*}", "user_modified", ""}, // chsh, chfn
	form{"changed password expiry for {user*}", "user_modified", ""},
	form{"lock user '{user}' password", "user_modified", "attribute=lock"},
	form{"unlock user '{user}' password", "user_modified", "attribute=unlock"},

	form{"password changed for {user*}", "password_changed", ""},
	form{"password for '{user*}' changed by '{by_user}'", "password_changed", ""},
	form{"password for {user} changed by {by_user}", "password_changed", ""}, // BusyBox
	form{"Password for {user} changed by {by_user}", "password_changed", ""},
	form{"password for {user} locked by {by_user}", "user_modified", "attribute=lock"},
	form{"password for {user} unlocked by {by_user}", "user_modified", "attribute=unlock"},

	form{"add '{user*}' to group '{group}'", "group_member_added", ""},
	form{"add '{user*}' to shadow group '{group}'", "group_member_added", ""},
	form{"user {user} added by {by_user} to group {group}", "group_member_added", ""}, // gpasswd
	form{"Adding user `{user*}' to group `{group}' ...", "group_member_added", ""},
	form{"members of group {group} set by {by_user} to {members*}", "group_members_set", ""},
	form{"administrators of group {group} set by {by_user} to {members*}", "group_administrators_set", ""},
	form{"delete '{user*}' from group '{group}'", "group_member_removed", ""},
	form{"delete '{user*}' from shadow group '{group}'", "group_member_removed", ""},
	form{"user {user} removed by {by_user} from group {group}", "group_member_removed", ""},

	form{"Adding new group `{group}' (GID {gid}) ...", "group_added", ""},
	form{"Adding new group `{group}' ({gid}) ...", "group_added", ""},
	form{"group changed in {_} (group {group}/{gid}, {attribute*})", "group_modified", ""},
	form{"group changed in {_} (group {group}, {attribute*})", "group_modified", ""},
	form{"password of group {group} changed by {by_user}", "group_modified", "attribute=password"},
	form{"password of group {group} removed by {by_user}", "group_modified", "attribute=password"},
	form{"group '{group}' removed[[ from {_}]]", "group_deleted", ""},
	form{"remove group '{group}'", "group_deleted", ""},
	form{"removed group '{group}' owned by '{_*}'", "group_deleted", ""},
	form{"removed shadow group '{group}' owned by '{_*}'", "group_deleted", ""},
)

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

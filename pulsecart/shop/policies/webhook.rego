# Who may do what with webhook subscriptions and their messages.
#
# input.act    create, list, read, change (pause, resume, delete and rotate, too) or send (examples, again, skip)
# input.roles  the caller's: customer, partner, admin
# input.owner  whether the subscription is the caller's own
package webhook

default verdict := "not-allowed"

acts := {"create", "list", "read", "change", "send"}

verdict := "allowed" if allowed

verdict := "not-yours" if {
	not allowed
	input.act in acts
	"partner" in input.roles
}

allowed if {
	"admin" in input.roles
	input.act in acts
}

allowed if {
	"partner" in input.roles
	input.owner
	input.act in acts
}

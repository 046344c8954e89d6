# Decides which callers may do what to an order. The serving layer has admitted only the roles that the route names (pulsecart/serving/access.py).
#
# input.act     read, inspect (its passport), list (a customer's orders), pay or cancel
# input.roles   the caller's: customer, partner, admin
# input.owner   whether the order, or the list, is the caller's own
# input.status  the order's; empty for a list
#
# verdict is "allowed", or the type of the problem in the response.
package order

default verdict := "not-allowed"

verdict := "allowed" if allowed

verdict := "not-yours" if {
	not allowed
	not input.owner
}

verdict := "not-pending" if {
	not allowed
	input.owner
	input.act == "cancel"
	"customer" in input.roles
}

allowed if {
	"admin" in input.roles
	input.act in {"read", "inspect", "list", "pay", "cancel"}
}

# A partner may read the orders that webhooks report to it.
allowed if {
	"partner" in input.roles
	input.act == "read"
}

allowed if {
	"customer" in input.roles
	input.owner
	input.act in {"read", "inspect", "list", "pay"}
}

# Later than PENDING it is the shop that cancels. Canceling again changes nothing.
allowed if {
	"customer" in input.roles
	input.owner
	input.act == "cancel"
	input.status in {"PENDING", "CANCELED"}
}

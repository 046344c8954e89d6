# Which events a partner may send, about which things (POST /events). Asked when an event arrives, and again by the operation that follows it.
#
# input.act    the event's type
# input.roles  the sender's: customer, partner, admin; an event source's are those of its partner
# input.owner  whether the order (all its products) or the product in the event is the partner's own
#
# verdict is "allowed", or the type of the problem that the sender gets.
package partner_event

default verdict := "not-allowed"

verdict := "allowed" if {
	permitted
	input.owner
}

verdict := "not-yours" if {
	permitted
	not input.owner
}

permitted if {
	"partner" in input.roles
	input.act in {
		"ecommerce.partner.fulfilment.reported.v1",
		"ecommerce.partner.stock.reported.v1",
	}
}

# Who may do what to a partner's products and event sources.
#
# input.act    read-products, assign-product, or manage-sources
# input.roles  the caller's: customer, partner, admin
# input.owner  whether the caller is this partner
#
# verdict is "allowed", or the type of the problem that the caller gets.
package partner

default verdict := "not-allowed"

verdict := "allowed" if allowed

verdict := "not-yours" if {
	not allowed
	not input.owner
}

allowed if {
	"admin" in input.roles
	input.act in {"read-products", "assign-product", "manage-sources"}
}

allowed if {
	"partner" in input.roles
	input.owner
	input.act in {"read-products", "manage-sources"}
}

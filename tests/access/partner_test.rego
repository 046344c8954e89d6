package partner_test

import data.partner

acts := ["read-products", "assign-product", "manage-sources"]

asked(act, roles, owner) := verdict if {
	verdict := partner.verdict with input.act as act with input.roles as roles with input.owner as owner
}

test_an_admin_does_all_for_every_partner if {
	every act in acts {
		asked(act, ["admin"], false) == "allowed"
	}
}

test_a_partner_manages_its_own_sources_and_reads_its_products if {
	asked("read-products", ["partner"], true) == "allowed"
	asked("manage-sources", ["partner"], true) == "allowed"
	asked("assign-product", ["partner"], true) == "not-allowed"
}

test_a_partner_does_nothing_for_another if {
	every act in acts {
		asked(act, ["partner"], false) == "not-yours"
	}
}

test_a_customer_is_no_partner if {
	asked("read-products", ["customer"], true) == "not-allowed"
	asked("manage-sources", [], true) == "not-allowed"
}

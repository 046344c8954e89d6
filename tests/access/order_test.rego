package order_test

import data.order

asked(act, roles, owner, status) := verdict if {
	verdict := order.verdict with input.act as act
		with input.roles as roles
		with input.owner as owner
		with input.status as status
}

test_a_customer_cancels_their_own_pending_order if asked("cancel", ["customer"], true, "PENDING") == "allowed"

test_canceling_again_is_allowed if asked("cancel", ["customer"], true, "CANCELED") == "allowed"

test_a_customer_cancels_nothing_that_is_further if {
	every status in ["CONFIRMED", "PAID", "FULFILLED", "", "pending"] {
		asked("cancel", ["customer"], true, status) == "not-pending"
	}
}

test_a_customer_does_nothing_to_another_s if {
	every act in ["read", "list", "cancel"] {
		asked(act, ["customer"], false, "PENDING") == "not-yours"
	}
}

test_a_customer_reads_their_own if {
	every act in ["read", "list"] {
		asked(act, ["customer"], true, "FULFILLED") == "allowed"
	}
}

test_an_admin_does_all_to_everybody_s if {
	every act in ["read", "list", "cancel"] {
		asked(act, ["admin"], false, "PAID") == "allowed"
	}
}

test_a_partner_reads_one_order_and_no_more if {
	asked("read", ["partner"], false, "PAID") == "allowed"
	asked("list", ["partner"], false, "") == "not-yours"
	asked("cancel", ["partner"], false, "PENDING") == "not-yours"
	asked("cancel", ["partner"], true, "PENDING") == "not-allowed"
}

test_who_has_two_roles_may_what_either_may if {
	asked("cancel", ["admin", "customer"], false, "PAID") == "allowed"
	asked("cancel", ["customer", "partner"], true, "PENDING") == "allowed"
	asked("cancel", ["customer", "partner"], false, "PENDING") == "not-yours"
}

test_no_role_and_no_known_act_are_refused if {
	asked("read", [], true, "PENDING") == "not-allowed"
	asked("erase", ["customer"], true, "PENDING") == "not-allowed"
	asked("erase", ["admin"], true, "PENDING") == "not-allowed"
}

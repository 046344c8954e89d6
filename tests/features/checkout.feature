Feature: Checking out
  A buyer pays what they saw and agreed to, for what there is, or nothing is ordered and they are told why.

  Background:
    Given the shop sells a "Desk lamp" for 34.50, of which 5 are left
    And the shop sells a "Dotted notebook" for 12.90, of which 20 are left

  Scenario: A cart becomes one order, which is paid and sent
    Given Ada has put 2 × "Desk lamp" and 1 × "Dotted notebook" into her cart
    When she checks out
    Then she has one order, of 81.90
    And it is confirmed, paid and fulfilled
    And she was charged 81.90
    And 3 × "Desk lamp" and 19 × "Dotted notebook" are left
    And her next cart is empty

  Scenario: The price changes, and she accepts it
    Given Ada has put 1 × "Desk lamp" and 1 × "Dotted notebook" into her cart
    And the price of "Desk lamp" has changed to 39.90
    When she checks out
    Then nothing is ordered, because "Desk lamp" costs 39.90 and not 34.50
    When she accepts 39.90 for "Desk lamp" and checks out
    Then she has one order, of 52.80
    And it is confirmed, paid and fulfilled
    And she was charged 52.80

  Scenario: The price changes, and she accepts another
    Given Ada has put 1 × "Desk lamp" into her cart
    And the price of "Desk lamp" has changed to 39.90
    When she accepts 36.00 for "Desk lamp" and checks out
    Then nothing is ordered, because "Desk lamp" costs 39.90 and not 36.00

  Scenario: One of two lines is sold out, and neither is ordered
    Given Ada has put 1 × "Desk lamp" and 3 × "Dotted notebook" into her cart
    And somebody else has bought 5 × "Desk lamp"
    When she checks out
    Then nothing is ordered, because 0 × "Desk lamp" are left
    And 0 × "Desk lamp" and 20 × "Dotted notebook" are left
    When she takes "Desk lamp" out and checks out
    Then she has one order, of 38.70
    And it is confirmed, paid and fulfilled

  Scenario: One buyer may not have more than the sale allows
    Given one buyer may have 2 × "Desk lamp"
    And Ada has bought 2 × "Desk lamp" before
    And she has put 1 × "Desk lamp" into her cart
    When she checks out
    Then nothing is ordered, because she has as many "Desk lamp" as she may have
    And 3 × "Desk lamp" are left

  Scenario: Pressing the button twice orders once
    Given Ada has put 1 × "Desk lamp" into her cart
    When she checks out
    And the same request comes again
    Then she has one order, of 34.50
    And 4 × "Desk lamp" are left

  Scenario: An order that still waits for its stock is canceled
    Given orders wait in the queue
    And Ada has ordered 2 × "Desk lamp"
    And it is pending
    When she cancels it
    And the queue moves on
    Then it was never confirmed, and ends canceled by its buyer
    And she was charged nothing
    And 5 × "Desk lamp" are left

"""What leaves the archive for people: mails, short messages, letters, and calls of other programs.

Every message is a row with a state, written in the transaction of the act it tells of. This room
must not know what a share is, nor any value of a patient's attribute.
"""

"""The mailbox and the server over HTTP; the endpoints of the other apps are joined here."""

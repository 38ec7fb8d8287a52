"""One thin file a Lambda function: parse the event, call its stage, answer which messages failed."""

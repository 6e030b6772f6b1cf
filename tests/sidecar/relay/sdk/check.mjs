// Reads one request of a relay from standard input, {"headers": {…}, "body": "…"}, as a receiver would: verifies its signature
// under the secret given, then reads the CloudEvent in it. Prints the event as the library has it; fails where a library does.
import { HTTP } from "cloudevents";
import { Webhook } from "standardwebhooks";

let text = "";
for await (const piece of process.stdin) text += piece;
const { headers, body } = JSON.parse(text);
const [secret] = process.argv.slice(2);
new Webhook(secret).verify(body, headers);
const event = HTTP.toEvent({ headers, body });
event.validate();
console.log(JSON.stringify(event));

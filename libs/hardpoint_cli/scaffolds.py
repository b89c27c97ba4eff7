"""The files that `hardpoint new` writes: each passes `hardpoint check` as it stands and says what to change.

Beside code stand the types of what it is offered, for editors.
"""

from importlib.resources import files
from typing import Final, Literal

Kind = Literal["http", "flow", "workflow", "javascript", "typescript", "python"]
ENDINGS: Final = {
    "http": ".yaml",
    "flow": ".yaml",
    "workflow": ".yaml",
    "javascript": ".js",
    "typescript": ".ts",
    "python": ".py",
}

_HTTP: Final = """\
# my-capability: a capability that calls a web API.
#
#   hardpoint check my-capability.yaml     is it right?
#   hardpoint test my-capability.yaml      do its examples come true?
#   hardpoint push my-capability.yaml --publish
#
# Change the lines marked EDIT. `${...}` is an expression: settings by their key, inputs as input.<name>.
capability:
  id: "my-capability"
  name: "My Capability"
  version: 0.1.0
  description: Looks something up                            # EDIT: one sentence for people

  actions:
    - id: look-up
      name: Look up
      description: Look up the answer to a question          # EDIT: a model chooses the action by this sentence
      inputs:
        - name: question
          type: string                                       # string, number, integer, boolean, object, array
          required: true
          description: What to look up
      outputs:
        - name: answer
          type: string

  integration:
    endpoint: https://api.example.com/v1/search              # EDIT: the API; its host is all that can be reached
    method: GET
    headers:
      Authorization: Bearer ${API_KEY}                       # filled in outside: no agent and no log sees the key
    params:
      q: ${input.question}
    response_mapping:
      answer: data.answer                                    # EDIT: where the answer stands in the response

  configuration:
    - key: API_KEY
      label: API key
      type: secret                                           # secret, string, number, boolean, object
      required: true

  examples:
    - input: { question: "hello" }
      expected_output: { answer: { $type: string } }         # $type, $range: [0, 10], $regex: "^a", or a value

  permissions:
    - network.http.get
"""

_FLOW: Final = """\
# my-capability: a flow, which runs straight through: nodes, and edges that say what comes after what.
#
#   hardpoint check my-capability.yaml     is it right, and which steps does it come to?
#   hardpoint test my-capability.yaml      do its examples come true?
#   hardpoint push my-capability.yaml --publish
#
# Change the lines marked EDIT. Without an `input` a node takes what the node before it gives. In `${...}`, `input` is
# what the flow was given and `steps.<id>` what a node gave; in a filter and in a loop, `item` is one of the list.
# Other nodes: api (a request), call (an action of another capability), code, branch (ports then and else), loop.
capability:
  id: "my-capability"
  name: "My Capability"
  version: 0.1.0
  description: Picks the large orders of a table             # EDIT: one sentence; a model chooses by it

  flow:
    nodes:
      - id: input
        type: input
        inputs:
          csv: { type: string, required: true, description: "Orders: customer,amount" }
          least: { type: number, default: 100, description: What makes an order large }
      - id: parse
        type: parse
        format: csv                                          # json, csv or lines
        input: ${input.csv}
      - id: large
        type: filter
        condition: double(item.amount) >= double(input.least)     # EDIT: what stays
      - id: orders
        type: transform
        for_each: steps.large
        value: { customer: "${item.customer}", amount: "${double(item.amount)}" }
      - id: output
        type: output
        outputs:
          orders: { type: array, required: true }
        value: { orders: "${steps.orders}" }
    edges:
      - { from: input, to: parse }
      - { from: parse, to: large }
      - { from: large, to: orders }
      - { from: orders, to: output }

  examples:
    - input: { csv: "customer,amount\\nAda,250\\nBob,20\\n" }
      expected_output: { orders: [{ customer: Ada, amount: 250.0 }] }
"""

_WORKFLOW: Final = """\
# my-capability: a workflow, which survives restarts: steps one after another, each an action of another capability.
#
#   hardpoint check my-capability.yaml     is it right, and which steps does it come to?
#   hardpoint test my-capability.yaml      do its examples come true? This needs no server.
#   hardpoint push my-capability.yaml --publish
#
# Change the lines marked EDIT. In `${...}`, `input` is what the workflow was given, `trigger` what started it, and
# `steps.<id>` what a step gave. A step may say if, for_each, needs: [ids], timeout, retry, on_error: continue, revert.
# Steps of its own: wait (seconds or until), approve (message), event (name), transform (value).
capability:
  id: "my-capability"
  name: "My Capability"
  version: 0.1.0
  description: Writes an order down and tells somebody        # EDIT: one sentence; a model chooses by it

  workflow:
    trigger: manual                                          # EDIT: or file_upload, or the id of one of `triggers`
    inputs:
      customer: { type: string, required: true }
      amount: { type: number, required: true }

    steps:
      - id: check                                            # a large order waits until a person has said yes
        action: approve
        if: input.amount > 1000.0                            # EDIT: what is large
        message: "${input.customer} orders for ${input.amount}"
        timeout: 86400

      - id: store
        action: database.insert                              # EDIT: any action, as capability.action
        table: orders
        data: { customer: "${input.customer}", amount: "${input.amount}" }

      - id: tell
        action: email.send
        to: orders@example.com                               # EDIT: whom to tell
        subject: "New order: ${input.customer}"
        body: "It is about ${input.amount}."
        retry: 0                                             # mail that may have gone out is not sent again

    error_handling:
      on_error: notify_admin
      retry: 3

  examples:                                                  # each says what its steps give, so nobody is called
    - name: small
      input: { customer: Ada, amount: 20 }
      steps:
        check: skipped                                       # nobody is asked
        store: { given: { table: orders, data: { customer: Ada, amount: 20 } }, gives: { rows: 1 } }
        tell: { gives: { message_id: m-1 } }                 # given: what the step is to be given
      expected_output: { message_id: m-1 }                   # without `output`, what the last step gives
    - name: refused
      input: { customer: Bob, amount: 5000 }
      steps:
        check: { gives: { approved: false } }
        on-error: {}                                         # notify_admin; nothing is stored
      expected_error: REFUSED

  permissions:                                               # those of the actions that its steps call
    - data.write
    - integration.email
    - compute.moderate
"""

_JAVASCRIPT: Final = """\
// my-capability: a capability in JavaScript.
//
//   hardpoint check my-capability.js       is it right?
//   hardpoint test my-capability.js        do its examples come true?
//   hardpoint push my-capability.js --publish
//
// It runs in a jail without files and network. What it may use is on `this`:
//   this.config      settings by key; a secret is a handle that only the broker can turn into its value
//   this.fetch       requests to the hosts below: add permissions: ['network.http.get'], hosts: ['api.example.com']
//   this.utils       parseCSV, mean, median, standardDeviation, findOutliers, correlation, ...
//   this.log, this.progress
//
// Change the lines marked EDIT. Types for editors are in hardpoint.d.ts.
/** @type {import('./hardpoint').Capability} */
export default {
  id: 'my-capability',
  name: 'My Capability',
  version: '0.1.0',
  description: 'Greets people',                              // EDIT: one sentence for people

  actions: {
    greet: {
      description: 'Greet somebody by name',                 // EDIT: a model chooses the action by this sentence
      inputs: { name: { type: 'string', required: true, description: 'Whom to greet' } },
      outputs: { text: { type: 'string' } },
      async run({ name }) {                                  // EDIT: what it does
        return { text: `${this.config.GREETING}, ${name}!` };
      },
    },
  },

  config: {
    GREETING: { type: 'string', default: 'Hello', description: 'What to say first' },
  },

  examples: [
    { action: 'greet', input: { name: 'Ada' }, expected_output: { text: 'Hello, Ada!' } },
  ],

  permissions: ['compute.light'],
};
"""

_TYPES: Final = """\
// Types are taken out before it runs and nothing is compiled: no enums, namespaces or parameter properties.
import type { This } from './hardpoint';

export default {
"""

_TYPESCRIPT: Final = (
    _JAVASCRIPT.replace("in JavaScript", "in TypeScript")
    .replace("my-capability.js ", "my-capability.ts ")
    .replace("/** @type {import('./hardpoint').Capability} */\nexport default {\n", _TYPES)
    .replace(
        "async run({ name }) {                                  // EDIT",
        "async run(this: This, { name }: { name: string }) {    // EDIT",
    )
)

_PYTHON: Final = '''\
"""my-capability: a capability in Python.

    hardpoint check my-capability.py       is it right?
    hardpoint test my-capability.py        do its examples come true?
    hardpoint push my-capability.py --publish

It runs in a jail without files and network. What it may use is on `self`:
    self.config      settings by key; a secret is a handle that only the broker can turn into its value
    self.fetch       requests to the hosts below: add permissions=["network.http.get"], hosts=["api.example.com"]
    self.utils       parse_csv, mean, median, standard_deviation, find_outliers, correlation, ...
    self.log, self.progress

Change the lines marked EDIT. Types for editors are in hardpoint_sdk.pyi.
"""

from hardpoint_sdk import Plugin, action, capability


@capability(
    id="my-capability",
    name="My Capability",
    version="0.1.0",
    description="Greets people",  # EDIT: one sentence for people
    config={"GREETING": {"type": "string", "default": "Hello", "description": "What to say first"}},
    examples=[{"action": "greet", "input": {"name": "Ada"}, "expected_output": {"text": "Hello, Ada!"}}],
    permissions=["compute.light"],
)
class Actions(Plugin):
    @action(
        description="Greet somebody by name",  # EDIT: a model chooses the action by this sentence
        inputs={"name": {"type": "string", "required": True, "description": "Whom to greet"}},
        outputs={"text": {"type": "string"}},
    )
    async def greet(self, input):  # EDIT: what it does
        return {"text": f"{self.config['GREETING']}, {input['name']}!"}
'''

_TEMPLATES: Final = {
    "http": _HTTP,
    "flow": _FLOW,
    "workflow": _WORKFLOW,
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "python": _PYTHON,
}


_TYPINGS: Final = {
    "javascript": "javascript/hardpoint.d.ts",
    "typescript": "javascript/hardpoint.d.ts",
    "python": "python/hardpoint_sdk.pyi",
}


def typings(kind: Kind) -> tuple[str, str]:
    """The name and the text of the types that editors want beside a file of this kind; nothing where they want none."""
    if kind not in _TYPINGS:
        return "", ""
    path = files("hardpoint_sdk").joinpath(_TYPINGS[kind])
    return path.name, path.read_text()


def scaffold(kind: Kind, capability: str) -> str:
    """The text of a new capability's file."""
    title = capability.replace("-", " ").title()
    return _TEMPLATES[kind].replace("my-capability", capability).replace("My Capability", title)

import { optionReference } from '../tiers/block/option-help.ts'
import { routerFields } from './config.ts'
import { endpoints } from './endpoints.ts'
import { routerMetrics } from './metrics.ts'
import { refusalKinds } from './refusal.ts'
import { hintFields, steeringFields } from './steering.ts'

/** The parts of README.md that are made from tables, by the name of their mark. */
function sections(): Readonly<Record<string, string>> {
  return {
    options: optionReference(routerFields),
    metrics: table(
      ['metric', 'kind', 'labels', 'what it is'],
      Object.entries(routerMetrics).map(([name, { kind, labels, about }]) => [
        `\`${name}\``,
        kind,
        labels.join(', '),
        about,
      ]),
    ),
    endpoints: table(
      ['path', 'errors in the shape of', 'routed by prefix', 'what it is'],
      Object.entries(endpoints).map(([path, { dialect, prompt, about }]) => [
        `\`POST ${path}\``,
        dialect === 'openai' ? 'OpenAI' : 'Anthropic',
        prompt ? 'yes' : 'no',
        about,
      ]),
    ),
    errors: table(
      ['kind', 'status', 'OpenAI type', 'Anthropic type'],
      Object.entries(refusalKinds).map(([kind, { status, openai, anthropic }]) => [
        kind,
        String(status),
        `\`${openai}\``,
        `\`${anthropic}\``,
      ]),
    ),
    steering: `Always: ${listed(steeringFields)}.\nWithout \`hints\` also: ${listed(hintFields)}.\n`,
  }
}

/** The README with its generated parts made anew. */
export function withReference(readme: string): string {
  let text = readme
  for (const [name, section] of Object.entries(sections())) {
    const start = `<!-- made from tables: ${name} -->\n`
    const end = `<!-- end of ${name} -->`
    const from = text.indexOf(start)
    const to = text.indexOf(end)
    if (from === -1 || to < from) throw new Error(`router/README.md has lost its marks for ${name}`)
    text = `${text.slice(0, from + start.length)}\n${section}\n${text.slice(to)}`
  }
  return text
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`
}

function listed(names: ReadonlySet<string>): string {
  return [...names].map((name) => `\`${name}\``).join(', ')
}

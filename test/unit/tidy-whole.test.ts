import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'
import { root, sources, textOf } from '../tree.ts'

/** Rules about the tree as a whole: they hold for a finished change, not for each step towards it. */

void t.test('nothing is exported that nobody imports; a type may be, when a signature names it', (t) => {
  const users = new Map<string, Map<string, number>>()
  for (const [file, text] of textOf) {
    for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) {
      const counts = users.get(word) ?? new Map<string, number>()
      counts.set(file, (counts.get(file) ?? 0) + 1)
      users.set(word, counts)
    }
  }
  const dead: string[] = []
  for (const [file, text] of textOf) {
    if (file.startsWith('test/')) continue
    for (const [, kind = '', name = ''] of text.matchAll(
      /^export (?:async )?(function\*?|const|let|class|interface|type) ([A-Za-z_$][\w$]*)/gm,
    )) {
      const counts = users.get(name)
      const isType = kind === 'interface' || kind === 'type'
      const alive = (counts?.size ?? 0) > 1 || (isType && (counts?.get(file) ?? 0) > 1)
      if (!alive) dead.push(`${file}: ${name}`)
    }
  }
  t.same(dead, [])
  t.end()
})

void t.test('every product folder has its design document', (t) => {
  const product = new Set(
    sources
      .filter((file) => !file.startsWith('test/') && file.includes('/'))
      .map((file) => posix.dirname(file)),
  )
  const without = [...product].filter((folder) => {
    for (let at = folder; at !== '.'; at = posix.dirname(at)) {
      if (existsSync(`${root}/${at}/README.md`)) return false
    }
    return true
  })
  t.same(without, [])
  t.end()
})

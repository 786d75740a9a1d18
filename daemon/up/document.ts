/** A long document to ask about: a made-up station log, the same for the same seed. Each entry has facts that
 *  only the document holds, so that an answer shows whether it was read. */

const crew = ['Ada', 'Bruno', 'Chen', 'Dalia', 'Emil', 'Farah', 'Goran', 'Hana']
const tasks = [
  'checked the seals of the upper greenhouse',
  'repaired the pump behind the east wall',
  'counted the seed trays and wrote the list anew',
  'cleaned the filters of the water line',
  'measured the soil of all nine terraces',
  'moved the young trees away from the wind',
]
const remarks = [
  'The night was calm and nobody had to leave the hut.',
  'A light rain came before noon and went on for an hour.',
  'The radio was silent, so the weekly report waits.',
  'Two goats were seen below the lowest terrace again.',
  'The supply cart is late; there is enough flour for six days.',
]

/** About 40 tokens per day. */
export function stationLog(dayCount: number, seed: number): string {
  const lines = ['Log of the terrace station. Read it to the end before you answer.', '']
  let state = seed >>> 0
  const pick = (count: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * count)
  }
  for (let day = 1; day <= dayCount; day++) {
    const litres = 20 + pick(60)
    const who = `${crew[pick(crew.length)]} ${tasks[pick(tasks.length)]}`
    lines.push(`Day ${day}: ${who}. The tank gave ${litres} litres. ${remarks[pick(remarks.length)]}`)
  }
  return lines.join('\n')
}

export const questions = [
  'How many litres did the tank give on day 3? Answer in one short sentence.',
  'Who is named in the entry of day 5? Answer in one short sentence.',
] as const

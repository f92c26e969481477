/**
 * Sheets of paper: an A4 PDF with embedded fonts, a header and a footer on every page, and a pen that knows
 * where it is. Same input, same bytes: the date is given, ids follow from it.
 */
import { createRequire } from 'node:module'

import PDFDocument from 'pdfkit'

/** Points. */
export const PAGE = {
  left: 40,
  right: 595.28 - 40,
  top: 62,
  bottom: 841.89 - 62,
} as const
export const WIDTH = PAGE.right - PAGE.left

/** Faces of the DejaVu family. */
export type Face = 'sans' | 'bold' | 'oblique' | 'mono'

const FILES: Record<Face, string> = {
  sans: 'DejaVuSans.ttf',
  bold: 'DejaVuSans-Bold.ttf',
  oblique: 'DejaVuSans-Oblique.ttf',
  mono: 'DejaVuSansMono.ttf',
}

/** How a piece of text looks. */
export interface TextStyle {
  readonly face?: Face
  /** Points. */
  readonly size?: number
  readonly color?: string
  readonly align?: 'left' | 'right' | 'center'
}

/** A document being written; `y` is the pen's height on the page. */
export interface Pen {
  y: number
  /** Height of `text` when set in `width`. */
  height(text: string, width: number, style?: TextStyle): number
  /** Writes at a place without moving the pen; returns the height used. */
  write(text: string, x: number, y: number, width: number, style?: TextStyle): number
  /** The text in pieces, none higher than `max` points, cut between words where there are any. */
  pieces(text: string, width: number, max: number, style?: TextStyle): string[]
  /** A paragraph over the whole width; moves down, to new pages when there is no room. */
  paragraph(text: string, style?: TextStyle, after?: number): void
  line(x1: number, y1: number, x2: number, y2: number, weight?: number): void
  box(x: number, y: number, width: number, height: number, fill?: string): void
  newPage(): void
  /** Starts a new page unless `height` points are left. */
  reserve(height: number): void
  /** Bytes of the finished file. */
  finish(): Promise<Uint8Array>
}

/** What stands on every page. */
export interface PageFrame {
  readonly title: string
  readonly name: string
  readonly footer: string
  readonly date: Date
}

interface GlyphSource {
  readonly _font: { readonly font: { hasGlyphForCodePoint(codePoint: number): boolean } }
}

/** Starts a document with its first page. */
export function startPdf({ title, name, footer, date }: PageFrame): Pen {
  const fonts = createRequire(import.meta.url)
  const document = new PDFDocument({
    size: 'A4',
    // Zero: PDFKit must never break a page by itself; the pen does.
    margin: 0,
    bufferPages: true,
    autoFirstPage: false,
    lang: 'en',
    displayTitle: true,
    pdfVersion: '1.7',
    info: {
      Title: title,
      Subject: name,
      Creator: 'keyrite',
      Producer: 'keyrite',
      CreationDate: date,
    },
  })
  for (const [face, file] of Object.entries(FILES)) {
    document.registerFont(face, fonts.resolve(`dejavu-fonts-ttf/ttf/${file}`))
  }
  const chunks: Uint8Array[] = []
  const ended = new Promise<void>((resolve, reject) => {
    document.on('data', (chunk: Uint8Array) => chunks.push(chunk))
    document.on('end', resolve)
    document.on('error', reject)
  })

  const apply = ({ face = 'sans', size = 9, color = '#000000' }: TextStyle = {}): void => {
    document.font(face).fontSize(size).fillColor(color)
  }
  /** Characters without a glyph are named, never left out or printed as an empty box. */
  const printable = (text: string): string => {
    const { font } = (document as unknown as GlyphSource)._font
    return Array.from(text.normalize('NFC'), (character) => {
      const code = character.codePointAt(0) ?? 0
      return character === '\n' || font.hasGlyphForCodePoint(code)
        ? character
        : `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
    }).join('')
  }
  /** As much of the text as one line of the width holds. */
  const oneLine = (text: string, width: number, style: TextStyle): string => {
    apply(style)
    let shown = printable(text)
    while (document.widthOfString(shown) > width) {
      shown = `${Array.from(shown).slice(0, -2).join('').trimEnd()}…`
    }
    return shown
  }
  const pen: Pen = {
    y: PAGE.top,
    height: (text, width, style) => {
      apply(style)
      return document.heightOfString(printable(text), { width })
    },
    write: (text, x, y, width, style) => {
      const height = pen.height(text, width, style)
      document.text(printable(text), x, y, { width, align: style?.align ?? 'left' })
      return height
    },
    pieces: (text, width, max, style) => {
      const whole = Array.from(text)
      if (whole.length < 2 || pen.height(text, width, style) <= max) return [text]
      const middle = Math.floor(whole.length / 2)
      const gap = whole.findLastIndex((character, at) => at <= middle && /\s/.test(character))
      const cut = gap > 0 ? gap : middle
      const halves = [whole.slice(0, cut), whole.slice(cut)].map((half) => half.join('').trim())
      return halves.filter(Boolean).flatMap((half) => pen.pieces(half, width, max, style))
    },
    paragraph: (text, style, after = 5) => {
      for (const piece of pen.pieces(text, WIDTH, (PAGE.bottom - PAGE.top) / 2, style)) {
        const height = pen.height(piece, WIDTH, style)
        pen.reserve(height)
        pen.write(piece, PAGE.left, pen.y, WIDTH, style)
        pen.y += height
      }
      pen.y += after
    },
    line: (x1, y1, x2, y2, weight = 0.6) => {
      document.lineWidth(weight).strokeColor('#000000').moveTo(x1, y1).lineTo(x2, y2).stroke()
    },
    box: (x, y, width, height, fill) => {
      if (fill !== undefined) document.rect(x, y, width, height).fill(fill)
      document.lineWidth(0.6).strokeColor('#444444').rect(x, y, width, height).stroke()
    },
    newPage: () => {
      document.addPage()
      pen.y = PAGE.top
    },
    reserve: (height) => {
      if (pen.y + height > PAGE.bottom) pen.newPage()
    },
    finish: async () => {
      const { start, count } = document.bufferedPageRange()
      for (let page = start; page < start + count; page++) {
        document.switchToPage(page)
        const top = PAGE.top - 30
        pen.write(oneLine(title, WIDTH * 0.66, { size: 8 }), PAGE.left, top, WIDTH, { size: 8 })
        pen.write(name, PAGE.left, top, WIDTH, { size: 8, align: 'right' })
        pen.line(PAGE.left, top + 14, PAGE.right, top + 14, 0.4)
        const under = PAGE.bottom + 14
        pen.line(PAGE.left, under, PAGE.right, under, 0.4)
        pen.write(footer, PAGE.left, under + 5, WIDTH, { size: 7, face: 'mono' })
        const blanks = 'Date ______________   Initials ______________________'
        pen.write(blanks, PAGE.left, under + 20, WIDTH, { size: 8 })
        const count_ = `Page ${page + 1} of ${count}`
        pen.write(count_, PAGE.left, under + 20, WIDTH, { size: 8, align: 'right' })
      }
      document.end()
      await ended
      return new Uint8Array(Buffer.concat(chunks))
    },
  }
  pen.newPage()
  return pen
}
